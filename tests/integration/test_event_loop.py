"""Our code never holds the event loop."""

from pathlib import Path

from service.server import SWITCH_INTERVAL_S
from tools import running_service, watched_service
from tools.load import Hammer
from tools.mlflow_server import MlflowServer, unique_name

ROWS = 10_000


def test_nothing_blocks_the_event_loop(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """Start, poll, load and swap under load, a 10,000-row body, every other call: none blocks."""
    name = unique_name("watched")
    for factor in (2.0, 3.0):
        mlflow_server.register_tiny(name, factor)
    mlflow_server.set_alias(name, "champion", 1)
    with running_service.start(
        tmp_path,
        mlflow_server.uri,
        command=("-m", watched_service.__name__),
        model_uri=f"models:/{name}@champion",
        keep_warm=False,
    ) as service:
        with Hammer(service.url, 4) as hammer:
            mlflow_server.set_alias(name, "champion", 2)
            service.wait_serving(2)
            rows = [{"a": float(row)} for row in range(ROWS)]
            answer = service.post("/predict", {"instances": rows})
            assert [p["y"] for p in answer.json()["predictions"]] == [3.0 * r["a"] for r in rows]
            mlflow_server.set_alias(name, "champion", 1)
            assert service.post("/reload-model").json()["model_version"] == "1"
            assert service.predict({"a": "x"}).status_code == 400
            assert service.info()["loaded"]
            for path in ("/metrics", "/schema/openapi.json", "/docs", "/docs/swagger-ui-bundle.js"):
                assert service.get(path).status_code == 200
            for path, status in (("/", 200), (f"/ui/{name}", 200), ("/ui/no-such-model", 404)):
                assert service.get(path).status_code == status
            service.wait_until(
                lambda: any(e.get("event") == "version gone" for e in service.events()),
                "the version before is gone",
            )
        assert hammer.failed == []
        assert service.stop() in {0, -15, 143}
        log = service.log.read_text("utf-8")
        intervals = [
            event["seconds"]
            for event in service.events()
            if event.get("event") == watched_service.SWITCH_INTERVAL
        ]
    assert watched_service.WORST_GAP in log, "the watch was not on"
    assert watched_service.BLOCKED not in log
    # Nor do our threads: Python has them give way ten times as soon as it would by itself.
    assert intervals == [SWITCH_INTERVAL_S]
