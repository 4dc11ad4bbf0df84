"""A compiler is at work beside what serves, and is lost, or the service ends."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.commands.demo import model as demo
from tests.faults.conftest import Rig
from tests.support import followed, footprint
from tests.support.followed import ALIAS
from tests.support.footprint import GONE_WITHIN_S
from tools import running_service
from tools.load import Hammer
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

CLIENTS = 2

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


class Forest(NamedTuple):
    """A registered forest, which takes seconds to compile, a row to ask it for, and its answer."""

    server: MlflowServer
    row: dict[str, Any]
    expected: float

    def served(self, folder: Path) -> RunningService:
        """Start a service that has it in use, and compiles it."""
        uri = followed.pointer(demo.NAME)
        return running_service.start(folder, self.server.uri, model_uri=uri)

    def hammer(self, service: RunningService) -> Hammer:
        """Return clients that ask for its row."""
        return Hammer(service.url, CLIENTS, instance=lambda _: self.row, output=demo.OUTPUTS[0])


@pytest.fixture(scope="module")
def forest(mlflow_server: MlflowServer) -> Forest:
    """Register the demo's model with a few trees."""
    pipeline, inputs, _ = demo.train(months=12, n_trees=20)
    with mlflow_server.active():
        version = demo.register(mlflow_server.uri, pipeline, inputs)
    mlflow_server.set_alias(demo.NAME, ALIAS, version)
    row = json.loads(inputs.head(1).to_json(orient="records"))[0]
    return Forest(mlflow_server, row, pipeline.predict(inputs.head(1))[0][0])


def _await_compiler(service: RunningService) -> int:
    """Wait until a compiler works; return its process id."""
    service.wait_until(lambda: service.started_pids("compiler-"), "a compiler works")
    return service.started_pids("compiler-")[-1]


def _why_not_compiled(service: RunningService) -> str:
    """Return why not all was compiled, '' where that is still open."""
    reason: str | None = service.info()["serving"]["predictors"]["reason"]
    return reason or ""


def test_a_compiler_that_is_killed(rig: Rig, forest: Forest, tmp_path: Path) -> None:
    """0 requests fail or differ, and nothing of it stays; the version serves on as it did."""
    killed: set[int] = set()
    with footprint.ending_clean(forest.served(tmp_path)) as service:
        with forest.hammer(service) as hammer:

            def killed_them() -> bool:
                for pid in {*service.started_pids("compiler-")} - killed:
                    # The first one has little to do, and may have ended by itself.
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                return "compiler" in _why_not_compiled(service)

            service.wait_until(killed_them, "it says why")
            answered = len(hammer.all)
            service.wait_until(lambda: len(hammer.all) > answered + 50, "answers go on")
        assert hammer.failed == []
        assert [seen.got for seen in hammer.all] == pytest.approx(
            [forest.expected] * len(hammer.all), rel=1e-12
        )
        assert "ended" in _why_not_compiled(service)
        assert any(e.get("event") == "predictors not compiled" for e in service.events())
        footprint.wait_back_to(service, rig.usual)


@pytest.mark.parametrize("signal_to", [os.kill, os.killpg], ids=["process", "group"])
def test_sigterm_while_a_compiler_works(
    forest: Forest, tmp_path: Path, signal_to: Callable[[int, int], None]
) -> None:
    """0 accepted requests fail; nothing stays of the service, nor of what was half compiled."""
    with forest.served(tmp_path) as service, forest.hammer(service) as hammer:
        _await_compiler(service)
        family = service.family()
        signal_to(service.process.pid, signal.SIGTERM)
        told = time.monotonic()
        service.process.wait(GONE_WITHIN_S)
        footprint.nothing_stays(service, family)
        assert time.monotonic() - told < GONE_WITHIN_S
    assert {seen.status for seen in hammer.failed} <= {0}
    assert len(hammer.broken) <= CLIENTS
