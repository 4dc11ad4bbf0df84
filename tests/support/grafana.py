"""What the dashboard and the alert rules of deploy/grafana ask Prometheus for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
_OF_HISTOGRAMS = re.compile(r"_(bucket|count|sum)$")


def expressions() -> Iterator[str]:
    """Return every expression: of panels, variables, annotations and alerts."""
    yield from dashboard_expressions()
    yield from alert_expressions()


def dashboard_expressions() -> Iterator[str]:
    """Return what the dashboard asks: its panels, annotations and variables."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (shown["expr"] for shown in dashboard["annotations"]["list"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]


def alert_expressions() -> Iterator[str]:
    """Return what each alert asks."""
    rules: Any = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))
    for group in rules["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def metrics_of(expression: str) -> set[str]:
    """Return the metrics that an expression names, a histogram by its own name."""
    return {_OF_HISTOGRAMS.sub("", name) for name in re.findall(r"\bhotswap_\w+", expression)}
