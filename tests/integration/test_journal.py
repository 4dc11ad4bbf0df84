"""`GET /model/journal`, by a real service that is started twice on one folder."""

from pathlib import Path
from typing import Any

from tools import running_service, watched_service
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService


def journal(service: RunningService, limit: int = 50) -> list[dict[str, Any]]:
    """Return the promotions, the newest first."""
    answer = service.get(f"/model/journal?limit={limit}").raise_for_status()
    told: list[dict[str, Any]] = answer.json()["promotions"]
    return told


def test_the_journal_tells_every_promotion_and_survives_a_restart(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """Verdicts and durations, the drain after the swap among them; no file is read on the loop."""
    name = unique_name("told")
    for factor in (2.0, 3.0):
        mlflow_server.register_tiny(name, factor)
    mlflow_server.set_alias(name, "live", 1)
    arguments: dict[str, Any] = {
        "command": ("-m", watched_service.__name__),
        "model_uri": f"models:/{name}@live",
        "keep_warm": False,
    }
    with running_service.start(tmp_path, mlflow_server.uri, **arguments) as service:
        mlflow_server.set_alias(name, "live", 2)
        service.wait_until(
            lambda: "drain" in journal(service)[0]["durations_s"], "the drain is told of"
        )
        before = journal(service)
        assert [(p["version"], p["trigger"], p["ending"]) for p in before] == [
            ("2", "poll", "serving"),
            ("1", "start", "serving"),
        ]
        assert set(before[0]["durations_s"]) >= {"fetch", "load", "gates", "swap", "drain"}
        assert {verdict["outcome"] for verdict in before[0]["verdicts"]} <= {"pass", "skip"}
        assert len(journal(service, limit=1)) == 1
        for wrong in ("0", "201", "x"):
            answer = service.get(f"/model/journal?limit={wrong}")
            assert answer.status_code == 400
            assert "limit" in answer.json()["detail"]
    with running_service.start(tmp_path, mlflow_server.uri, **arguments) as service:
        after = journal(service)
        assert after[1:] == before
        assert (after[0]["version"], after[0]["trigger"]) == ("2", "start")
        service.stop()
    assert watched_service.BLOCKED not in service.log.read_text("utf-8")
