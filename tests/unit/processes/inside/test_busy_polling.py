"""How a child waits for its next call."""

import multiprocessing
import os
import sys
import threading
import time

import pytest

from service.processes.inside.busy_polling import PollingReceiver

LONG_S = 5.0
WITHIN_S = 10.0
posix = pytest.mark.skipif(sys.platform == "win32", reason="there it sleeps immediately")


@pytest.fixture
def yields(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Count how often a CPU was offered to others."""
    seen: list[None] = []
    monkeypatch.setattr(os, "sched_yield", lambda: seen.append(None), raising=False)
    return seen


@pytest.mark.parametrize("busy_poll_s", [0.0, 1e-6, LONG_S])
def test_every_frame_is_received_in_order(busy_poll_s: float) -> None:
    """However it waited for it, and whether it came before or after."""
    here, there = multiprocessing.Pipe()
    receiver = PollingReceiver(here, busy_poll_s)
    there.send_bytes(b"first")
    there.send_bytes(b"second")
    assert [receiver.receive(), receiver.receive()] == [b"first", b"second"]
    late = threading.Timer(0.05, there.send_bytes, (b"third" * 100_000,))
    late.start()
    assert receiver.receive() == b"third" * 100_000
    late.join(WITHIN_S)


@pytest.mark.parametrize("busy_poll_s", [0.0, LONG_S])
def test_the_other_end_s_closing_ends_the_wait(busy_poll_s: float) -> None:
    """A server process that is gone is noticed awake, too."""
    here, there = multiprocessing.Pipe()
    receiver = PollingReceiver(here, busy_poll_s)
    there.send_bytes(b"only")
    receiver.receive()
    threading.Timer(0.05, there.close).start()
    with pytest.raises(EOFError):
        receiver.receive()


@posix
def test_what_was_called_closely_stays_awake(yields: list[None]) -> None:
    """After a call that came within the time, and not before."""
    here, there = multiprocessing.Pipe()
    receiver = PollingReceiver(here, LONG_S)
    first = threading.Timer(0.05, there.send_bytes, (b"first",))
    first.start()
    receiver.receive()
    assert not yields
    second = threading.Timer(0.05, there.send_bytes, (b"second",))
    second.start()
    assert receiver.receive() == b"second"
    assert yields
    first.join(WITHIN_S)
    second.join(WITHIN_S)


@posix
def test_what_is_called_rarely_sleeps(yields: list[None]) -> None:
    """The first long wait is tried awake, up to the limit; those after it are not."""
    here, there = multiprocessing.Pipe()
    receiver = PollingReceiver(here, 0.001)
    there.send_bytes(b"close")
    closely = _received_within_s(receiver) < 0.001
    rare = 0
    while rare < 3:
        late = threading.Timer(0.05, there.send_bytes, (b"late",))
        late.start()
        waited_s = _received_within_s(receiver)
        late.join(WITHIN_S)
        if waited_s < 0.01:
            # The machine stood still, and it came closely.
            closely, rare = False, 0
        elif rare:
            assert not yields
            rare += 1
        else:
            assert yields or not closely
            rare = 1
        yields.clear()


def _received_within_s(receiver: PollingReceiver) -> float:
    began = time.perf_counter()
    receiver.receive()
    return time.perf_counter() - began


@posix
def test_a_version_that_gets_no_traffic_polls_once_and_not_at_heartbeats(
    yields: list[None],
) -> None:
    """Be it a candidate, or the version before: two versions poll no more than one does."""
    here, there = multiprocessing.Pipe()
    receiver = PollingReceiver(here, 0.005)
    for _ in range(3):
        # Its gates, or its last requests.
        there.send_bytes(b"close")
        receiver.receive()
    polled: list[bool] = []
    for _ in range(5):
        yields.clear()
        heartbeat = threading.Timer(0.05, there.send_bytes, (b"ping",))
        heartbeat.start()
        assert receiver.receive() == b"ping"
        heartbeat.join(WITHIN_S)
        polled.append(bool(yields))
    assert polled == [True, False, False, False, False]


def test_without_a_time_it_never_stays_awake(yields: list[None]) -> None:
    """What WORKER_SPIN_US=0 asks for."""
    here, there = multiprocessing.Pipe()
    receiver = PollingReceiver(here, 0.0)
    for _ in range(3):
        there.send_bytes(b"close")
        receiver.receive()
    assert not yields


@posix
def test_what_offers_a_cpu_that_is_wanted_sleeps_until_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It comes back late, as from behind a model that loads; with the next call it tries again."""
    offered: list[None] = []

    def come_back_late() -> None:
        offered.append(None)
        began = time.perf_counter()
        while time.perf_counter() - began < 0.002:
            pass

    monkeypatch.setattr(os, "sched_yield", come_back_late, raising=False)
    here, there = multiprocessing.Pipe()
    receiver = PollingReceiver(here, LONG_S)
    there.send_bytes(b"close")
    receiver.receive()
    for calls in (1, 2):
        late = threading.Timer(0.02, there.send_bytes, (b"late",))
        late.start()
        assert receiver.receive() == b"late"
        late.join(WITHIN_S)
        assert len(offered) == calls
