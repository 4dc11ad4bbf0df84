"""A promotion goes live under traffic, and nobody notices but by the version's number."""

from collections.abc import Callable
from pathlib import Path

from tools import running_service
from tools.load import Hammer
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

CLIENTS = 16
FACTORS = {"1": 2.0, "2": 3.0}


def _two_versions(server: MlflowServer) -> str:
    name = unique_name("hammered")
    for factor in FACTORS.values():
        server.register_tiny(name, factor)
    return name


def _every_client_saw(hammer: Hammer, version: str) -> Callable[[], bool]:
    return lambda: all(seen and seen[-1].version == version for seen in hammer.seen)


def _promote_under_load(
    service: RunningService, promotions: list[tuple[str, Callable[[], object]]]
) -> Hammer:
    """Promote one version after another, each once every client has seen the one before."""
    with Hammer(service.url, CLIENTS) as hammer:
        service.wait_until(_every_client_saw(hammer, "1"), "all clients see version 1")
        for version, promote in promotions:
            promote()
            service.wait_until(
                _every_client_saw(hammer, version), f"all clients see version {version}"
            )
    return hammer


def test_promotions_by_stage_there_and_back_lose_and_mix_nothing(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """Stage with archiving, then back to the older version, with 16 clients hammering."""
    name = _two_versions(mlflow_server)
    mlflow_server.set_stage(name, 1, "Production")
    with running_service.start(
        tmp_path, mlflow_server.uri, model_name=name, model_stage="production"
    ) as service:
        hammer = _promote_under_load(
            service,
            [
                ("2", lambda: mlflow_server.set_stage(name, 2, "Production")),
                ("1", lambda: mlflow_server.set_stage(name, 1, "Production")),
            ],
        )
        assert hammer.failed == []
        assert hammer.mixed(FACTORS) == []
        assert hammer.changes() == [["1", "2", "1"]] * CLIENTS


def test_a_promotion_by_alias_loses_and_mixes_nothing(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """An alias that moves, with 16 clients hammering."""
    name = _two_versions(mlflow_server)
    mlflow_server.set_alias(name, "champion", 1)
    with running_service.start(
        tmp_path, mlflow_server.uri, model_uri=f"models:/{name}@champion", workers=2
    ) as service:
        hammer = _promote_under_load(
            service, [("2", lambda: mlflow_server.set_alias(name, "champion", 2))]
        )
        assert hammer.failed == []
        assert hammer.mixed(FACTORS) == []
        assert hammer.changes() == [["1", "2"]] * CLIENTS
