"""What a deployment's observer is told of real promotions, by real processes."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from service.app import create_app
from service.core.events import PromotionOutcome
from service.core.states import State
from service.deployments import Deployments
from service.settings.environment import load_settings
from tests.support.followed import ALIAS, pointer
from tests.support.observers import Recording
from tools.mlflow_server import MlflowServer, unique_name

LIMIT_S = 90.0
FAILING = {"instances": [{"a": 99.0, "do": ""}]}


@pytest.fixture
def name(mlflow_server: MlflowServer) -> str:
    """Register a good version, one that can't be loaded, and one that fails large numbers."""
    name = unique_name("observed")
    mlflow_server.register_unruly(name, 2.0)
    mlflow_server.register_unruly(name, on_load="raise")
    mlflow_server.register_unruly(name, 3.0, limit=50.0)
    mlflow_server.set_alias(name, ALIAS, 1)
    return name


@contextlib.contextmanager
def serving(
    server: MlflowServer, name: str, folder: Path, observer: Recording
) -> Iterator[TestClient[Litestar]]:
    """Serve a model from this process, whose observer can be read here."""
    settings = load_settings(
        {
            "CACHE_DIR": str(folder),
            "MLFLOW_TRACKING_URI": server.uri,
            "MODEL_URI": pointer(name),
            "POLL_INTERVAL_S": "0.2",
            "ADMIN_OPEN": "true",
        }
    )
    with TestClient(create_app(Deployments(settings, observe=lambda _: [observer]))) as client:
        yield client


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for a state, under a limit."""
    ends = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.02)


def test_a_promotion_a_refusal_and_a_rollback_are_told_from_beginning_to_end(
    mlflow_server: MlflowServer, name: str, tmp_path: Path
) -> None:
    """Each in order, by its version: what it went through, what serves, and what came of it."""
    observer = Recording()

    def ended(outcome: PromotionOutcome) -> list[Any]:
        return [e for e in observer.told("promotion_ended") if e[2] is outcome]

    with serving(mlflow_server, name, tmp_path, observer) as client:
        wait_until(lambda: ended(PromotionOutcome.SERVING), "version 1 serves")
        mlflow_server.set_alias(name, ALIAS, 2)
        wait_until(lambda: ended(PromotionOutcome.REFUSED), "version 2 is refused")
        mlflow_server.set_alias(name, ALIAS, 3)
        wait_until(lambda: len(ended(PromotionOutcome.SERVING)) == 2, "version 3 serves")

        def fails() -> bool:
            client.post("/predict", json=FAILING)
            return bool(ended(PromotionOutcome.ROLLED_BACK))

        wait_until(fails, "version 3 is rolled back")
        wait_until(
            lambda: ("state_entered", "3", State.UNLOADED) in observer.story(), "version 3 is gone"
        )

    def brought(number: str) -> list[tuple[Any, ...]]:
        return [
            ("promotion_began", number),
            ("state_entered", number, State.FETCHING),
            ("step_ended", number, "fetch"),
            ("version_stored", number),
            ("gate_ended", number, "artifacts"),
            ("gate_ended", number, "environment"),
            ("state_entered", number, State.LOADING),
            ("gate_ended", number, "load"),
            ("step_ended", number, "load"),
        ]

    def proved(number: str, previous: str | None) -> list[tuple[Any, ...]]:
        return [
            ("state_entered", number, State.PROVING),
            ("gate_ended", number, "contract"),
            ("gate_ended", number, "smoke"),
            ("gate_ended", number, "speed"),
            ("gate_ended", number, "predictors"),
            ("state_entered", number, State.READY),
            ("serving_changed", number, previous),
            ("step_ended", number, "swap"),
            ("promotion_ended", number, PromotionOutcome.SERVING, "it serves"),
        ]

    promotions = {"promotion_began", "promotion_ended", "state_entered", "step_ended"}
    promotions |= {"gate_ended", "version_stored", "serving_changed"}
    # Beside all else: a version that serves no more is not watched any more. The watch of version 1
    # goes on where it had not found by then that another one had served for a moment.
    settled = [("step_ended", number, "settle") for number in ("1", "3")]
    told = [event for event in observer.story() if event[0] in promotions]
    assert [event for event in told if event in settled] in (settled, settled[1:])
    story = [event for event in told if event not in settled]
    (refused,) = ended(PromotionOutcome.REFUSED)
    (failed,) = ended(PromotionOutcome.ROLLED_BACK)
    assert "refused by the load gate" in refused[3]
    assert "failed" in failed[3]
    assert story == [
        *brought("1"),
        *proved("1", None),
        *brought("2"),
        ("state_entered", "2", State.FAILED),
        ("promotion_ended", "2", *refused[2:]),
        *brought("3"),
        *proved("3", "1"),
        ("serving_changed", "1", "3"),
        ("promotion_ended", "3", *failed[2:]),
        ("state_entered", "3", State.DRAINING),
        ("state_entered", "3", State.UNLOADED),
    ]
