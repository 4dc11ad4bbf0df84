"""The service as an engine runs it: PID 1, no capability, a root that can't be written to."""

import os
import sys
from pathlib import Path

import pytest

from tests.support.container import Place, contained, why_not
from tests.support.footprint import nothing_stays
from tools.mlflow_server import MlflowServer, free_port, unique_name

ROOT = Path(__file__).parents[2]
REASON = why_not()


@pytest.mark.skipif(bool(REASON), reason=REASON)
def test_it_serves_as_pid_1_on_a_read_only_root_and_ends_at_sigterm(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """It needs one folder to write to, and SIGTERM drains it although it is PID 1."""
    name, port = unique_name("contained"), free_port()
    mlflow_server.register_tiny(name, 3.0)
    mlflow_server.set_alias(name, "champion", 1)
    volume = tmp_path / "volume"
    volume.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(volume),
        "TMPDIR": str(volume),
        "CACHE_DIR": str(volume / "cache"),
        "LOG_FORMAT": "json",
        "PORT": str(port),
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "MODEL_URI": f"models:/{name}@champion",
        "POLL_INTERVAL_S": "0.2",
    }
    place = Place(volume, str(volume))
    with contained(place, [sys.executable, "-m", "service", "serve"], environment, port) as running:
        service = running.service
        service.wait_healthy()
        assert service.predict({"a": 2.0}).json()["predictions"] == [{"y": 6.0}]
        status = Path(f"/proc/{running.first.pid}/status").read_text("ascii")
        assert f"NSpid:\t{running.first.pid}\t1\n" in status
        assert "CapEff:\t0000000000000000\n" in status
        assert not [line for line in service.events() if line.get("level") == "warning"]
        children = service.children()
        assert running.terminate(30) == 143
        nothing_stays(service, children)
