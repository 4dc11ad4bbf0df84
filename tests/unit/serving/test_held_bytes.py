"""Bodies of all models and protocols together hold no more than MAX_BODIES_BYTES."""

import asyncio

import pytest

from service.codecs.catalog import INFERENCE, INFERENCE_MESSAGES, ROWS_AND_COLUMNS, SCORING_JSON
from service.core.errors import OverloadedError
from service.core.protocols import WireProtocol
from service.serving.dataplane import DataPlane
from service.serving.interface import EncodedRequest
from tests.support.batchers import until
from tests.support.fake_workers import FakeWorkers
from tests.support.served_version import Deployed, serving

LARGE = 20_000
MOST = 10 * LARGE
WAYS = [
    (WireProtocol.NATIVE, ROWS_AND_COLUMNS),
    (WireProtocol.MLFLOW, SCORING_JSON),
    (WireProtocol.OIP, INFERENCE),
    (WireProtocol.GRPC, INFERENCE_MESSAGES),
]


async def test_models_that_are_flooded_together_hold_no_more_than_the_service_may() -> None:
    """By every protocol; what is beyond is refused, a small body is not, and all is freed."""
    plane = DataPlane(1_000, LARGE, MOST)
    one, other = FakeWorkers(), FakeWorkers()
    async with serving(one) as (first, _), serving(other) as (second, _):
        with one.held(), other.held():
            asked = [
                asyncio.create_task(_ask(plane, deployed, protocol, codec))
                for _ in range(5)
                for deployed in (first, second)
                for protocol, codec in WAYS
            ]
            await until(lambda: sum(task.done() for task in asked) == len(asked) - 10)
            assert plane.held_bytes == MOST
            refused = [task.exception() for task in asked if task.done()]
            assert {getattr(error, "reason", None) for error in refused} == {"service-bytes"}
            refusal = plane.refusal(first, WireProtocol.NATIVE, LARGE)
            assert isinstance(refusal, OverloadedError)
            assert plane.refusal(second, WireProtocol.NATIVE, 1_000) is None
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
    assert plane.held_bytes == 0


async def _ask(plane: DataPlane, deployed: Deployed, protocol: WireProtocol, codec: str) -> None:
    request = EncodedRequest(b" " * LARGE, codec, codec)
    await plane.infer(deployed, protocol, request)
    pytest.fail("nothing answers")
