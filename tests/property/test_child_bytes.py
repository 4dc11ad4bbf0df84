"""No byte of a child's does more to the server process than to end that child."""

import contextlib
import os
import random
import struct
from typing import Any

import msgspec
import pytest

from service.compiling.messages import CompileReply
from service.contracts.contract import Predictions
from service.contracts.fitting import misfit
from service.core.errors import ServiceError
from service.processes.frames import FrameReader, MalformedFrameError
from service.processes.protocol import Fault, Reply, UnreadableError, read_reply, read_result
from service.registry.messages import DownloadReply, ResolveReply, TagReply
from service.workers.errors import WORKER_ERRORS
from service.workers.messages import (
    ActivateReply,
    LoadReply,
    RawReply,
    SmokeReply,
    SpeedReply,
)

SEED = 16
ROUNDS = 200_000 if os.environ.get("HOTSWAP_LONG_FAULTS") == "1" else 4_000

KINDS: tuple[Any, ...] = (
    *(Predictions, RawReply, LoadReply, SmokeReply, SpeedReply, ActivateReply, CompileReply),
    *(ResolveReply, DownloadReply, TagReply),
)
PLACE: dict[str, str | int | None] = {
    "path": "instances[0].a",
    "row": 0,
    "expected": "a number",
    "got": "null",
}
GOOD: list[Any] = [
    Predictions(2, ["y"], [bytes(16)], ["float64"], [[]], [1], 0.1),
    Predictions(1, ["y"], [[{"a": [1, None]}]], [""], [[]], []),
    RawReply(2, b"[1,2]", None),
    LoadReply({"inputs": [{"type": "double"}]}, "3", "3.11", 0.1),
    SmokeReply("its example", 5, "", row_wise=True, row_wise_why="it is"),
    Fault("model-failed", "it raised", "Traceback"),
    Fault("contract-violation", "it is wrong", "", PLACE),
    TagReply("no"),
]
NONSENSE: tuple[bytes, ...] = (
    b"",
    b"\xc1",
    b"\x91" * 100_000,
    b"\x81\xa1a" * 100_000,
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xd6\xff\xff\xff\xff\xff",
    b"\xc9\x7f\xff\xff\xff\x01",
    b"\xa2\xff\xfe",
    b"\x81\x90\x01",
    b"\xcf" + b"\xff" * 8,
    msgspec.msgpack.encode(float("nan")),
    msgspec.msgpack.encode("x" * 1_000_000),
    msgspec.msgpack.encode({"rows": 2**63, "predictions": b"", "non_finite_row": -1}),
)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return bytes of which some were changed, put in, left out or said twice."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(changed))
        match chance.randint(0, 3):
            case 0 if changed:
                changed[at % len(changed)] = chance.randint(0, 255)
            case 1:
                changed[at:at] = chance.choice(NONSENSE)[:50]
            case 2:
                del changed[at : at + chance.randint(1, 8)]
            case _:
                changed[at:at] = changed[at : at + chance.randint(1, 8)]
    return bytes(changed)


def read(body: bytes, kind: Any, *, ok: bool) -> None:
    """Read a body as an answer of a kind; raise what nobody expects."""
    with contextlib.suppress(UnreadableError, ServiceError):
        found = read_result(Reply(1, ok, msgspec.Raw(body)), kind, WORKER_ERRORS)
        if isinstance(found, Predictions):
            misfit(found, 2)


@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_unreadable(nonsense: bytes) -> None:
    """As a frame, as a result of each kind, and as a fault."""
    for kind in KINDS:
        read(nonsense, kind, ok=True)
        read(nonsense, kind, ok=False)
    for frame in (nonsense, b"\x93\x01\xc3" + nonsense):
        with contextlib.suppress(UnreadableError):
            read_reply(frame)


def test_changed_answers_are_read_or_refused() -> None:
    """Whatever is changed in what a child sends: nothing but what callers of it expect comes."""
    chance = random.Random(SEED)
    bodies = [msgspec.msgpack.encode(good) for good in GOOD]
    for _ in range(ROUNDS):
        body = mutated(chance.choice(bodies), chance)
        read(body, chance.choice(KINDS), ok=chance.random() < 0.8)
        frame = msgspec.msgpack.encode(Reply(7, ok=True, body=msgspec.Raw(body)))
        with contextlib.suppress(UnreadableError):
            read_reply(mutated(frame, chance))


def test_changed_streams_are_frames_or_end() -> None:
    """The reader never goes on for ever, and never holds more than it was given."""
    chance = random.Random(SEED)
    for _ in range(ROUNDS):
        frames = [chance.randbytes(chance.randint(0, 30)) for _ in range(3)]
        stream = mutated(b"".join(struct.pack("!i", len(x)) + x for x in frames), chance)
        reader, got = FrameReader(), 0
        try:
            while stream:
                size = chance.randint(1, len(stream))
                got += sum(len(frame) for frame in reader.feed(stream[:size]))
                stream = stream[size:]
        except MalformedFrameError:
            continue
        assert got <= 500
