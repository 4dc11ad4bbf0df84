"""compose.yaml: as the specification has it, and as the service and its files are."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from service.commands.demo import model
from service.processes.exit_limit import limit_of_end
from service.settings.environment import load_settings
from tests.support.dockerfile import instructions, stages, variables
from tests.support.manifests import DEPLOY, ROOT
from tests.support.own_names import routes, unknown

TEXT = (ROOT / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
IMAGE = stages(instructions((ROOT / "Dockerfile").read_text("utf-8")))[-1]


def prometheus() -> dict[str, Any]:
    """Return what Prometheus is told."""
    told: dict[str, Any] = yaml.safe_load((DEPLOY / "compose/prometheus.yml").read_text("utf-8"))
    return told


def mounted(name: str) -> dict[str, str]:
    """Return each path of a container with what is mounted there."""
    pairs = [volume.split(":")[:2] for volume in SERVICES[name]["volumes"] if ":" in volume]
    return {target: source for source, target in pairs}


def test_it_is_as_the_specification_has_it() -> None:
    """Every field is known, and of the right form."""
    assert sorted(PyCompose.from_yaml(TEXT).service_names()) == sorted(SERVICES)
    with pytest.raises(ValueError, match="read_onli"):
        PyCompose.from_yaml(TEXT.replace("read_only", "read_onli"))


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there(name: str) -> None:
    """Each file of this folder exists, and each other source is one of the volumes."""
    for source in mounted(name).values():
        if source.startswith("./"):
            assert (ROOT / source).is_file(), source
        else:
            assert source in COMPOSE["volumes"]


def test_the_service_is_set_as_it_can_be() -> None:
    """Its variables are settings, and it would start with them."""
    given = {
        name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)
        for name, value in SERVICES["hotswap"]["environment"].items()
    }
    assert unknown(set(given)) == set()
    settings = load_settings({**variables(IMAGE), **given})
    limit_s = limit_of_end(settings.service.drain_lead_s, settings.drain_timeout_s)
    assert int(SERVICES["hotswap"]["stop_grace_period"].removesuffix("s")) >= limit_s
    [port] = SERVICES["hotswap"]["ports"]
    assert port.split(":")[-1] == str(settings.service.port)
    # The one volume, and nothing else to write to.
    assert SERVICES["hotswap"]["read_only"] is True
    assert list(mounted("hotswap")) == ["/var/lib/hotswap"]


def test_the_demos_model_is_what_is_followed() -> None:
    """`--profile demo` registers what the service follows unless it is told otherwise."""
    assert f"models:/{model.NAME}@{model.ALIAS}" in SERVICES["hotswap"]["environment"]["MODEL_URI"]
    assert SERVICES["train"]["entrypoint"] == ["python", "-m", model.__name__]


def test_prometheus_scrapes_the_service_under_the_alerts_name() -> None:
    """At the service's port and path, with the rules where they are mounted."""
    [job] = prometheus()["scrape_configs"]
    assert job["job_name"] == "hotswap"
    assert ("GET", job["metrics_path"]) in routes()
    assert job["static_configs"] == [{"targets": ["hotswap:8080"]}]
    [rules] = prometheus()["rule_files"]
    assert mounted("prometheus")[f"/etc/prometheus/{rules}"] == "./deploy/grafana/alerts.yml"


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """What it is provisioned with names what is there."""
    folder = DEPLOY / "compose" / "grafana"
    [source] = yaml.safe_load((folder / "datasources.yml").read_text("utf-8"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((folder / "dashboards.yml").read_text("utf-8"))["providers"]
    place = f"{provider['options']['path']}/dashboard.json"
    assert mounted("grafana")[place] == "./deploy/grafana/dashboard.json"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == place


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is in Debian's `prometheus`")
def test_prometheus_takes_its_file(tmp_path: Path) -> None:
    """By its own tool, with the rules beside it as they are mounted."""
    (tmp_path / "rules").mkdir()
    shutil.copy(DEPLOY / "grafana" / "alerts.yml", tmp_path / "rules")
    shutil.copy(DEPLOY / "compose" / "prometheus.yml", tmp_path)
    ended = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"],  # noqa: S607 - wherever it is installed
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
