"""The dashboard and the alert rules of deploy/grafana name what there is; each alert is tried."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.telemetry.metrics.families import FAMILIES
from tests.support.grafana import FOLDER, expressions, metrics_of

ALERTS = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))
TRIED = yaml.safe_load((FOLDER / "alerts_test.yml").read_text("utf-8"))
BY_NAME = {family.name: family for family in FAMILIES}
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is in Debian's `prometheus`"
)


def alerts() -> Iterator[dict[str, Any]]:
    """Return each alert."""
    for group in ALERTS["groups"]:
        yield from group["rules"]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in the folder of the rules."""
    return subprocess.run(
        ["promtool", *arguments],  # noqa: S607 - wherever it is installed
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_metric_that_is_named_exists() -> None:
    """In the dashboard's panels, variables and annotations, and in each alert."""
    named = {name for expression in expressions() for name in metrics_of(expression)}
    assert len(named) > 20
    assert named <= set(BY_NAME), named - set(BY_NAME)


def test_every_label_that_is_asked_for_exists() -> None:
    """In each selector: a label that no series has selects nothing."""
    for expression in expressions():
        for name, selector in re.findall(r"(hotswap_\w+)\{([^}]*)\}", expression):
            (metric,) = metrics_of(name)
            asked = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", selector))
            # These are Prometheus' own.
            assert asked <= {*BY_NAME[metric].labels, "instance", "job"}, expression


def test_every_alert_is_tried_both_ways() -> None:
    """Where it is to fire, and where all is well."""
    names = {alert["alert"] for alert in alerts()}
    tries = [one for test in TRIED["tests"] for one in test["alert_rule_test"]]
    assert {one["alertname"] for one in tries if one["exp_alerts"]} == names
    assert {one["alertname"] for one in tries if not one["exp_alerts"]} == names


def test_every_panel_shows_something_and_has_room() -> None:
    """No two panels lie upon each other."""
    panels = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["targets"], panel["title"]
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


@needs_promtool
def test_promtool_takes_the_rules() -> None:
    """Each is read, and does in its unit tests what it is to do."""
    checked = promtool("check", "rules", "alerts.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tried = promtool("test", "rules", "alerts_test.yml")
    assert tried.returncode == 0, tried.stdout + tried.stderr


@needs_promtool
def test_the_unit_tests_of_the_alerts_can_fail(tmp_path: Path) -> None:
    """With a rule that never fires, they do."""
    rules = (FOLDER / "alerts.yml").read_text("utf-8")
    (tmp_path / "alerts.yml").write_text(rules.replace("hotswap_ready == 0", "hotswap_ready == 2"))
    shutil.copy(FOLDER / "alerts_test.yml", tmp_path)
    tried = promtool("test", "rules", str(tmp_path / "alerts_test.yml"))
    assert tried.returncode != 0
    assert "HotswapNotReady" in tried.stdout + tried.stderr
