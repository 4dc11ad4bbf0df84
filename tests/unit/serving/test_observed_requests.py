"""What a deployment's observer is told of its requests: each one once."""

import asyncio
import json

import anyio.lowlevel
import pytest

from service.contracts.contract import Contract
from service.core.errors import (
    CallerGoneError,
    ContractViolationError,
    DeadlineExceededError,
    ModelFailedError,
    NoVersionError,
    OverloadedError,
    ServiceError,
)
from service.core.protocols import WireProtocol
from service.serving.batching.batcher import BatchSettings
from service.serving.interface import EncodedRequest
from tests.support.batchers import now, until
from tests.support.fake_workers import RAISING, FakeWorkers, a_call
from tests.support.served_version import RAW_BODY_BYTES, VERSION, Deployed, serving

NATIVE = WireProtocol.NATIVE
ROWS = json.dumps({"instances": [{"a": 1.0}, {"a": 2.0}]}).encode()
FULL = BatchSettings(100, 0.002, 30, queue_rows=1)
"""A row may wait, and no more."""


async def test_an_answer_is_told_with_its_rows_and_how_long_it_took() -> None:
    """From its body on."""
    async with serving(FakeWorkers(takes_s=0.01)) as (deployed, _):
        await deployed.answer(ROWS)
    assert (deployed.listening.answered, deployed.listening.failed) == ([(VERSION, 2)], [])
    (took_s,) = deployed.listening.took_s
    assert 0.005 < took_s < 10


async def test_the_steps_of_an_answer_are_told_with_what_it_found() -> None:
    """Where the server process does them; of an answer in types it knows the first one alone."""
    workers = FakeWorkers(takes_s=0.01)
    async with serving(workers) as (deployed, _):
        await asyncio.gather(*(deployed.answer(ROWS) for _ in range(3)))
        await deployed.answer(ROWS.ljust(RAW_BODY_BYTES + 1))
        await deployed.plane.infer(deployed, NATIVE, lambda _: a_call(3.0))
    *whole, raw, typed = deployed.listening.details
    assert [(waiting, unanswered) for *_, waiting, unanswered in whole] == [(0, 1), (1, 2), (2, 3)]
    for took_s, decode_s, encode_s, *_ in whole:
        assert decode_s is not None
        assert encode_s is not None
        assert 0 < decode_s + encode_s < took_s
    assert raw[1:] == (None, None, 0, 1)
    assert typed[1] is not None
    assert typed[2:] == (None, 0, 1)
    assert [took_s for took_s, *_ in deployed.listening.details] == deployed.listening.took_s


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", ServiceError),
        (b'{"instances": [{"a": "x"}]}', ContractViolationError),
        (json.dumps({"instances": [{"a": RAISING}]}).encode(), ModelFailedError),
    ],
)
async def test_what_is_raised_is_told_once(body: bytes, kind: type[ServiceError]) -> None:
    """Whether it was the caller's fault or the model's."""
    async with serving(FakeWorkers()) as (deployed, _):
        with pytest.raises(kind) as raised:
            await deployed.answer(body)
    assert (deployed.listening.answered, deployed.listening.failed) == (
        [],
        [(VERSION, raised.value)],
    )


async def test_a_callers_own_deadline_is_told_and_not_held_against_the_version() -> None:
    """One that has passed costs no worker anything; one under way ends the wait alone."""
    workers = FakeWorkers(takes_s=0.2)
    async with serving(workers) as (deployed, model):
        for left_s in (-1.0, 0.02):
            deadline_s = now() + left_s
            with pytest.raises(DeadlineExceededError):
                await deployed.plane.infer(
                    deployed, NATIVE, EncodedRequest(ROWS), deadline_s=deadline_s
                )
            assert len(workers.seen) == (left_s > 0)
        refused = deployed.plane.refusal(deployed, NATIVE, 10, now())
    assert refused is None, "nothing is known of its cost while no run has ended"
    assert [version for version, _ in deployed.listening.failed] == [VERSION, VERSION]
    assert model.failed == 0


async def test_a_refusal_is_told_once_wherever_it_is_said() -> None:
    """By its head, before there is a body; or by its rows, once they are read."""
    workers = FakeWorkers(takes_s=0.05)
    async with serving(workers, FULL) as (deployed, _):
        # One is answered, one waits; the queue has no room for others meanwhile.
        under_way = asyncio.create_task(deployed.answer(ROWS))
        await until(lambda: bool(workers.seen))
        asked = asyncio.gather(*(deployed.answer(ROWS) for _ in range(3)), return_exceptions=True)
        await anyio.lowlevel.checkpoint()
        refused_by_head = deployed.plane.refusal(deployed, NATIVE, 10**12)
        assert refused_by_head is not None
        answers = [await under_way, *await asked]
        assert deployed.plane.refusal(deployed, NATIVE, 10) is None
    refused = [answer for answer in answers if isinstance(answer, OverloadedError)]
    assert refused
    told = [error for _, error in deployed.listening.failed]
    assert sorted(map(id, told)) == sorted(map(id, [*refused, refused_by_head]))
    assert len(deployed.listening.answered) == len(answers) - len(refused)


async def test_a_request_that_no_version_can_answer_is_told_without_one() -> None:
    """Nothing serves yet."""
    deployed = Deployed()
    with pytest.raises(NoVersionError) as raised:
        await deployed.answer(ROWS)
    assert deployed.listening.failed == [(None, raised.value)]
    assert deployed.plane.refusal(deployed, NATIVE, 10) is None


async def test_a_call_that_is_cancelled_is_told_as_a_caller_that_is_gone() -> None:
    """As gRPC cancels it: once, and not held against the version."""
    workers = FakeWorkers(takes_s=0.2)
    async with serving(workers) as (deployed, model):
        asked = asyncio.create_task(deployed.answer(ROWS))
        await until(lambda: bool(workers.seen))
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    ((version, error),) = deployed.listening.failed
    assert version == VERSION
    assert isinstance(error, CallerGoneError)
    assert model.failed == 0


async def test_a_defect_is_told_as_a_failure_and_raised_as_it_is() -> None:
    """A rule of a team's contract may have one."""

    def defective(_: Contract) -> None:
        raise KeyError("no such thing")

    async with serving(FakeWorkers()) as (deployed, model):
        with pytest.raises(KeyError):
            await deployed.plane.infer(deployed, NATIVE, defective)  # type: ignore[arg-type]
    ((version, error),) = deployed.listening.failed
    assert version == VERSION
    assert type(error) is ServiceError
    assert (model.answered, model.failed) == (0, 0)
