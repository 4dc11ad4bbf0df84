"""A real Prometheus that scrapes a service, and what it answers."""

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.support.grafana import FOLDER
from tools.mlflow_server import free_port

LABELS = {"namespace": "default", "pod": "hotswap-0"}
"""What a scrape in Kubernetes adds to each series."""
_FILLED = {"$__rate_interval": "1m", "$__range": "5m"}
_STEP_S = 0.5


class Prometheus:
    """Asks a Prometheus by its HTTP API."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, trust_env=False)
        self._since_s = time.time()

    def is_ready(self) -> bool:
        """Tell whether it answers; until then it does so in plain text."""
        return self.client.get("/-/ready").status_code == httpx.codes.OK

    def told(self, path: str, **parameters: Any) -> Any:
        """Return the data of an answer. Raise AssertionError for an error."""
        answer = self.client.get(f"/api/v1{path}", params=parameters).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    def now(self, expression: str) -> list[float]:
        """Return the values of an expression as they are now."""
        result = self.told("/query", query=filled(expression))["result"]
        return [float(series["value"][1]) for series in result]

    def ever(self, expression: str) -> list[float]:
        """Return the values of an expression from the beginning on, as a panel draws them."""
        asked = {"start": self._since_s, "end": time.time() + _STEP_S, "step": _STEP_S}
        result = self.told("/query_range", query=filled(expression), **asked)["result"]
        return [float(value) for series in result for _, value in series["values"]]


def filled(expression: str) -> str:
    """Return an expression with Grafana's variables as they are for everything."""
    for variable, value in _FILLED.items():
        expression = expression.replace(variable, value)
    expression = re.sub(r"^label_values\((.+), \w+\)$", r"\1", expression)
    return re.sub(r"\$\w+", ".*", expression)


@contextlib.contextmanager
def scraping(folder: Path, target: str) -> Iterator[Prometheus]:
    """Run Prometheus with our alert rules, and scrape a service twice a second."""
    port = free_port()
    targets = {"targets": [target], "labels": LABELS}
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(FOLDER / "alerts.yml")],
        "scrape_configs": [{"job_name": "hotswap", "static_configs": [targets]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
    arguments = (
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", *arguments],  # noqa: S607 - wherever it is installed
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        asked = Prometheus(f"http://127.0.0.1:{port}")
        try:
            yield asked
        finally:
            asked.client.close()
            process.kill()
            process.wait()
