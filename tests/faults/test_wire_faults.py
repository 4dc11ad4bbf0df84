"""Callers that send too much, too slowly, or never to the end, to a real service."""

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest

from tests.support import followed
from tests.support.followed import ALIAS
from tools.mlflow_server import MlflowServer, free_port
from tools.running_service import RunningService

BODY_BYTES = 33_554_432
BODIES = 50
MAX_BODIES_BYTES = 100_000_000
DESCRIPTORS = 128
WAITING = 3
IDLE, CALLERS = 1_000, 8
HEAD = b"POST /predict HTTP/1.1\r\nhost: t\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
JSON, PLAIN = b"application/json", b"application/json; charset=utf-8"


@pytest.fixture(scope="module")
def promoted(mlflow_server: MlflowServer) -> str:
    """Register two versions of a model, and promote the first."""
    return followed.register_tiny(mlflow_server, "wire", 2.0, 3.0)


@pytest.fixture(scope="module")
def service(
    promoted: str, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Start a service whose limits are short."""
    with followed.serving(
        tmp_path_factory.mktemp("wire"),
        mlflow_server.uri,
        promoted,
        model_uri=f"models:/{promoted}/1",
        max_bodies_bytes=MAX_BODIES_BYTES,
        head_timeout_s=2,
        body_timeout_s=2,
        probation_s=600,
    ) as service:
        yield service


def connect(service: RunningService, data: bytes) -> socket.socket:
    """Open a connection and send so much over it, if it is taken."""
    raw = socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), 20)
    with contextlib.suppress(ConnectionError):
        raw.sendall(data)
    return raw


def test_many_unfinished_bodies(service: RunningService) -> None:
    """They hold less than they may together, and in the end nothing; others are answered."""
    front = psutil.Process(service.process.pid)
    before = front.memory_info().rss
    peak = before
    head = HEAD % (JSON, BODY_BYTES)
    with contextlib.ExitStack() as open_ones:
        for _ in range(BODIES):
            body = b" " * (BODY_BYTES // 8)
            open_ones.enter_context(connect(service, head + body))
            peak = max(peak, front.memory_info().rss)
            assert service.predict({"a": 1.0}).status_code == 200
        assert peak - before < 1.5 * MAX_BODIES_BYTES
        service.wait_until(
            lambda: any(e.get("body-timeout") for e in service.events()), "408 is logged"
        )
        held = connect(service, head)
        open_ones.enter_context(held)
        assert held.recv(12) == b"HTTP/1.1 408"
    # All of it is free again, though the allocator may keep it: a second wave takes no more.
    with contextlib.ExitStack() as open_ones:
        for _ in range(BODIES // 2):
            open_ones.enter_context(connect(service, head + b" " * (BODY_BYTES // 8)))
        assert front.memory_info().rss - before < 1.5 * MAX_BODIES_BYTES


@pytest.mark.parametrize("kind", [PLAIN, JSON])
def test_callers_who_hang_up(service: RunningService, kind: bytes) -> None:
    """In mid-body, whichever way it would have been answered: no error, and no one's failure."""
    service.wait_until(
        lambda: service.info()["serving"]["probation"]["state"] == "under way",
        "failures would be weighed",
    )
    before, count, connections = blame(service), len(service.events()), established(service)
    for length in (100, 1_000_000):
        connect(service, HEAD % (kind, length) + b"x" * (length // 2)).close()
    connect(service, HEAD[:30]).close()
    whole = b'{"instances": [{"a": 1.0}]}'
    connect(service, HEAD % (kind, len(whole)) + whole).close()
    assert service.predict({"a": 1.0}).status_code == 200
    service.wait_until(
        lambda: established(service) <= connections and not service.info()["serving"]["requests"],
        "all of them have gone",
    )
    assert blame(service) == before
    told = [e for e in service.events()[count:] if e.get("level") in {"error", "warning"}]
    assert [e for e in told if e.get("event") != "connections refused"] == []
    if kind is PLAIN:
        return
    # A failure of the version's own is counted in both places. Only once: of so few answers, a
    # second one may end its probation.
    assert service.predict({"a": 1.1e308}).status_code == 500
    own = (before[0] + 1, before[1] + 1, before[2])
    service.wait_until(lambda: blame(service) == own, "a failure is counted")


def blame(service: RunningService) -> tuple[int, int, int]:
    """Return a version's failures: all, those that count against it, and those that don't."""
    serving = service.info()["serving"]
    probation = serving["probation"]
    return serving["failed"], probation["failures"], probation["excused"]


def established(service: RunningService) -> int:
    """Return how many connections the service holds."""
    connections = psutil.Process(service.process.pid).net_connections("tcp")
    return sum(connection.status != psutil.CONN_LISTEN for connection in connections)


def test_an_overloaded_service_refuses_from_the_head(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """Before a byte of the body is sent; that is skipped, and the next request is answered."""
    name = followed.register_unruly(mlflow_server, "overloaded", 2.0)
    with (
        followed.serving(
            tmp_path,
            mlflow_server.uri,
            name,
            workers=1,
            max_queue_rows=1,
            probation_s=0,
            compiled="off",
        ) as service,
        contextlib.ExitStack() as waiting,
    ):
        # One is answered, one may be with the worker as well, and one waits with two rows.
        slow, quick = b'{"a": 1.0, "do": "sleep:6"}', b'{"a": 1.0, "do": ""}'
        for rows in (slow, b"%b, %b" % (quick, quick), b"%b, %b" % (quick, quick)):
            body = b'{"instances": [%b]}' % rows
            waiting.enter_context(connect(service, HEAD % (JSON, len(body)) + body))
            service.wait_until(lambda: service.info()["serving"]["requests"], "it is there")
        service.wait_until(lambda: service.info()["serving"]["waiting_requests"], "some wait")
        for kind in (JSON, PLAIN):
            raw = waiting.enter_context(connect(service, HEAD % (kind, REFUSED_BYTES)))
            answers = waiting.enter_context(raw.makefile("rb"))
            status, problem = answer(answers)
            assert (status, json.loads(problem)["type"]) == (503, "urn:mlflow-hotswap:overloaded")
            raw.sendall((NEXT * REFUSED_BYTES)[:REFUSED_BYTES] + NEXT)
            assert answer(answers)[0] == 200
            raw.shutdown(socket.SHUT_WR)
            assert answers.read() == b"", "the body was taken for requests"


REFUSED_BYTES = 100_000
NEXT = b"GET /health/live HTTP/1.1\r\nhost: t\r\n\r\n"


def answer(answers: BinaryIO) -> tuple[int, bytes]:
    """Read one answer."""
    head = iter(answers.readline, b"\r\n")
    status = int(next(head).split()[1])
    length = next(int(line[15:]) for line in list(head) if line.startswith(b"content-length:"))
    return status, answers.read(length)


def test_a_thousand_idle_connections(service: RunningService) -> None:
    """Half of them have asked before: no request beside them fails, and none of them is ended."""
    with contextlib.ExitStack() as idle:
        held = []
        for number in range(IDLE):
            held.append(idle.enter_context(connect(service, NEXT if number % 2 else b"")))
            if number % 2:
                assert held[-1].recv(65_536).startswith(b"HTTP/1.1 200")
        with ThreadPoolExecutor(CALLERS) as callers:
            answers = callers.map(lambda _: service.predict({"a": 1.0}).status_code, range(500))
            assert set(answers) == {200}
        for one in held:
            one.setblocking(False)  # noqa: FBT003 - its only form
            with pytest.raises(BlockingIOError):
                one.recv(1)


def test_few_descriptors(promoted: str, mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """Idle connections, by HTTP and gRPC, take none that a new worker and a promotion need."""
    mlflow_server.set_alias(promoted, ALIAS, 1)
    limited, port = ("-c", _LIMITED), free_port()
    with (
        followed.serving(
            tmp_path, mlflow_server.uri, promoted, command=limited, grpc_port=port
        ) as service,
        contextlib.ExitStack() as idle,
    ):
        for _ in range(2 * DESCRIPTORS):
            idle.enter_context(socket.create_connection(("127.0.0.1", port), 20))
        open_idle(service, idle, 2 * DESCRIPTORS)
        assert service.get("/health").status_code == 200
        first = service.worker_pids()
        for pid in first:
            psutil.Process(pid).kill()
        service.wait_until(
            lambda: service.worker_pids() and not set(service.worker_pids()) & set(first),
            "another worker",
        )
        open_idle(service, idle, DESCRIPTORS)
        mlflow_server.set_alias(promoted, ALIAS, 2)
        service.wait_serving(2)
        assert service.predict({"a": 1.0}).json()["predictions"] == [{"y": 3.0}]
        assert psutil.Process(service.process.pid).num_fds() < DESCRIPTORS
        refused = [e for e in service.events() if "refused" in str(e.get("event"))]
        assert len(refused) <= 5, "one line for many"


def open_idle(service: RunningService, idle: contextlib.ExitStack, count: int) -> None:
    """Open so many connections that send nothing, no faster than the service accepts them.

    Where descriptors are few, few connections may wait for that: the system drops the others, and
    tries again after a second.
    """
    for number in range(count):
        idle.enter_context(connect(service, b""))
        if number % WAITING == 0:
            service.get("/health/live").raise_for_status()


_LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS // 2}, {DESCRIPTORS}))
import sys
from service.__main__ import main
sys.argv[1:] = ["serve"]
main()
"""
