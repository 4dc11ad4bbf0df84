"""What a caller sends who means harm, against a whole service: refused, and everybody else served.

Each attack is sent as raw bytes, as no client library would. The attacks that take time, memory or
connections are in test_wire.py and tests/faults.
"""

import gzip
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import grpc
import psutil
import pytest

from service.handlers.grpc.streams import MOST_OF_ONE
from tests.support.guide import Guide

LOCAL = b"Host: 127.0.0.1\r\n"
JSON = b"Content-Type: application/json\r\n"
ARROW = b"Content-Type: application/vnd.apache.arrow.stream\r\n"
DEEP = b"[" * 500_000
WIDE = b'{"instances":[{' + b",".join(b'"k%d":1' % n for n in range(50_000)) + b"}]}"
BOMB = gzip.compress(b"\0" * 100_000_000, 9)
BODIES = ("/predict", "/invocations", "/v2/models/NAME/infer", "/model/pin")
ALIVE_WITHIN_S = 2.0
MOST_MORE_BYTES = 200_000_000


class Answer(NamedTuple):
    """What came back before the connection ended, or nothing more did."""

    status: int
    head: bytes
    body: bytes


@pytest.fixture(autouse=True)
def others_are_served(guide: Guide) -> Iterator[None]:
    """Ask for health and a prediction after each attack; the memory stays within bounds."""
    process = psutil.Process(guide.service.process.pid)
    held = process.memory_info().rss
    workers = guide.service.worker_pids()
    yield
    began = time.monotonic()
    assert guide.service.get("/health/live").status_code == 200
    assert time.monotonic() - began < ALIVE_WITHIN_S
    assert guide.service.predict(*guide.instances(1)).status_code == 200
    assert guide.service.worker_pids() == workers
    assert process.memory_info().rss - held < MOST_MORE_BYTES


def ask(guide: Guide, sent: bytes) -> Answer:
    """Send bytes on a connection of its own, and return the first answer to them."""
    port = int(guide.service.url.rpartition(":")[2])
    received = b""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        # It may be refused, and the connection ended, before all of it is sent.
        with suppress(ConnectionError):
            connection.sendall(sent)
        with suppress(ConnectionError):
            while not _is_whole(received) and (more := connection.recv(65_536)):
                received += more
    head, _, body = received.partition(b"\r\n\r\n")
    return Answer(int(head.split(b" ")[1]) if head else 0, head, body)


def _is_whole(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return length is not None and len(body) >= int(length[1])


def request(target: str, more: bytes = b"", body: bytes = b"", method: str = "GET") -> bytes:
    """Return a request that ends its connection."""
    line = f"{method} {target} HTTP/1.1\r\n".encode()
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return line + LOCAL + more + length + b"Connection: close\r\n\r\n" + body


def with_framing(framing: bytes, behind: bytes) -> bytes:
    """Return a prediction request with these lines on its body's length, and what follows."""
    return b"POST /predict HTTP/1.1\r\n" + LOCAL + JSON + framing + b"\r\n" + behind


@pytest.mark.parametrize(
    "sent",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(508),
        b"CONNECT evil.example:443 HTTP/1.1\r\n" + LOCAL + b"\r\n",
        request("/health", b"x-request-id: a\x0bSet-Cookie: x=1\r\n"),
        request("/health", b"x-request-id: a\rSet-Cookie: x=1\r\n"),
        request("/health", b"x-request-id: a\r\n Set-Cookie: x=1\r\n"),
        with_framing(b"Content-Length: 2\r\nContent-Length: 40\r\n", b"{}GET /model/info HTTP/1.1"),
        with_framing(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\nGET / H"),
        with_framing(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
        with_framing(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
        with_framing(b"Content-Length: -1\r\n", b""),
        with_framing(b"Content-Length: 99999999999999999999\r\n", b""),
        with_framing(b"Transfer-Encoding: chunked\r\n", b"2\n{}\n0\n\n"),
    ],
)
def test_what_is_no_plain_request_is_refused_and_ends_its_connection(
    guide: Guide, sent: bytes
) -> None:
    """Another protocol, a header that would become two, a body that readers frame in two ways."""
    answer = ask(guide, sent)
    assert answer.status == 400
    assert b"connection: close" in answer.head.lower()
    assert b"set-cookie" not in answer.head.lower()


@pytest.mark.parametrize("to", ["websocket", "h2c"])
def test_no_other_protocol_is_changed_to(guide: Guide, to: str) -> None:
    """The request is answered as it is."""
    more = f"Upgrade: {to}\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhl\r\n".encode()
    answer = ask(guide, b"GET /health/live HTTP/1.1\r\n" + LOCAL + more + b"\r\n")
    assert answer.status == 200
    assert b"upgrade" not in answer.head.lower()


@pytest.mark.parametrize(
    "target",
    [
        *("/docs/../../../../etc/passwd", "/docs/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd"),
        *("/docs/..%2f..%2fetc%2fpasswd", "/docs/%5c..%5c..%5cetc%5cpasswd", "/docs/page.py%00.js"),
        *("/models/../health", "/models/%2e%2e/health", "/models/..%2f..%2fmodel%2finfo"),
        *("/models/a%0d%0aSet-Cookie:%201/health", "/models/%00/health", "/models/%ff%fe/health"),
        *("/v2/models/..%2f..%2fetc%2fpasswd/ready", "/v2/models/%E2%80%AE/ready"),
    ],
)
def test_no_path_leads_out_of_what_is_served(guide: Guide, target: str) -> None:
    """Neither to files nor to another call; a name in it is shown without what it would do."""
    answer = ask(guide, request(target))
    assert answer.status == 404
    assert b"root:" not in answer.body
    assert b"set-cookie" not in answer.head.lower()
    assert not re.search(rb"[\x00-\x09\x0b-\x1f]|\xe2\x80\xae", answer.body)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("more", "body", "statuses"),
    [
        (JSON, DEEP, {400}),
        (JSON, b'{"instances":[{"a":' + b"9" * 100_000 + b"}]}", {400}),
        (JSON, WIDE, {400, 413}),
        (JSON + b"Content-Encoding: gzip\r\n", BOMB, {413, 415}),
        (JSON + b"Content-Encoding: gzip, gzip\r\n", gzip.compress(BOMB), {415}),
        (ARROW, os.urandom(100_000), {400, 415}),
    ],
    ids=["deep", "digits", "wide", "bomb", "bomb in a bomb", "no arrow"],
)
def test_a_body_that_would_cost_much_is_refused(
    guide: Guide, path: str, more: bytes, body: bytes, statuses: set[int]
) -> None:
    """By each protocol, and before it costs that."""
    target = path.replace("NAME", guide.service.info()["model_name"])
    began = time.monotonic()
    assert ask(guide, request(target, more, body, "POST")).status in statuses
    assert time.monotonic() - began < 5 * ALIVE_WITHIN_S


@pytest.mark.parametrize(
    "header",
    [
        *("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1"),
        *("X-Forwarded-Host: localhost", "Origin: http://127.0.0.1.evil.example", "Origin: null"),
    ],
)
def test_no_header_makes_a_caller_a_local_one(guide: Guide, header: str) -> None:
    """What a proxy adds is a sign of a proxy, whatever it says."""
    more = JSON + header.encode() + b"\r\n"
    assert ask(guide, request("/model/pin", more, b'{"version":"1"}', "POST")).status in {401, 403}


def test_a_thousand_pipelined_requests_hold_up_nobody(guide: Guide) -> None:
    """They are answered one by one as far as the connection's turn goes."""
    sent = b"GET /health/live HTTP/1.1\r\n" + LOCAL + b"\r\n"
    assert ask(guide, sent * 1_000).status == 200


@pytest.mark.parametrize("kind", ["ping", "settings", "reset", "continuation"])
def test_a_flood_of_frames_over_grpc_holds_up_nobody(guide: Guide, kind: str) -> None:
    """Pings, settings, streams that are reset as soon as they are open, headers without an end."""
    host, _, port = guide.grpc_address.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        try:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4))
            for number in range(5):
                connection.sendall(_flood(kind, number))
        except OSError:
            pass  # it is ended for it
    with grpc.insecure_channel(guide.grpc_address) as channel:
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        assert live(b"", timeout=10) == b"\x08\x01"


@pytest.mark.parametrize(
    "method",
    [
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
def test_streams_over_grpc_that_stay_open_hold_up_nobody(guide: Guide, method: str) -> None:
    """As many of one address as may be are let in; others come in once those have gone."""
    ends = threading.Event()

    def never_ending() -> Iterator[bytes]:
        yield b""
        ends.wait()

    def opened(channel: grpc.Channel) -> Any:
        if method.endswith("Watch"):
            return channel.unary_stream(method)(b"")
        return channel.stream_stream(method)(never_ending())

    with grpc.insecure_channel(guide.grpc_address) as channel:
        streams = [opened(channel) for _ in range(2 * MOST_OF_ONE)]
        try:
            guide.service.wait_until(
                lambda: sum(one.done() for one in streams) >= MOST_OF_ONE, "some are refused"
            )
            refused = [one.code() for one in streams if one.done()]
            assert refused == [grpc.StatusCode.UNAVAILABLE] * MOST_OF_ONE
            live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
            assert live(b"", timeout=10) == b"\x08\x01"
        finally:
            for one in streams:
                one.cancel()
            ends.set()
        # What is cancelled here is known there a moment later.
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
        guide.service.wait_until(
            lambda: _first(watch(b"", timeout=10)) == b"\x08\x01", "there is room again"
        )


def _first(stream: Any) -> bytes:
    """Return a stream's first message, nothing where it is refused."""
    try:
        return bytes(next(stream))
    except grpc.RpcError:
        return b""
    finally:
        stream.cancel()


@pytest.mark.parametrize(
    ("method", "message", "metadata", "code"),
    [
        ("ServerLive", b"", (("x", "a" * 1_000_000),), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("ModelInfer", bytes(100_000_000), (), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("ModelInfer", b"\x0a\x01m\x22\xff\xff\xff\xff\x0f", (), None),
        ("ModelReady", b"\x0a\x08a\r\nb\x00../", (), grpc.StatusCode.NOT_FOUND),
        ("Nope", b"", (), grpc.StatusCode.UNIMPLEMENTED),
    ],
    ids=["metadata", "message", "lengths", "name", "method"],
)
def test_a_call_over_grpc_that_would_cost_much_is_refused(
    guide: Guide,
    method: str,
    message: bytes,
    metadata: tuple[tuple[str, str], ...],
    code: grpc.StatusCode | None,
) -> None:
    """And told without what its name would do."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(guide.grpc_address, options) as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        with pytest.raises(grpc.RpcError) as refused:
            call(message, timeout=10, metadata=metadata)
    assert code in {None, refused.value.code()}
    assert refused.value.code() not in {
        *(grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED),
    }
    assert not re.search(r"[\x00-\x1f]", refused.value.details() or "")


def _frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream.to_bytes(4, "big") + payload


def _flood(kind: str, number: int) -> bytes:
    """Return a thousand frames, those that come after `number` thousands of them."""
    match kind:
        case "ping":
            return _frame(6, payload=bytes(8)) * 1_000
        case "settings":
            return _frame(4) * 1_000
        case "continuation":
            begun = b"" if number else _frame(1, 1, 1, b"\x83")
            return begun + _frame(9, 0, 1, bytes(100)) * 1_000
        case _:
            streams = range(2_000 * number + 1, 2_000 * (number + 1), 2)
            head = b"\x83\x86\x44\x01/"
            return b"".join(
                _frame(1, 4, stream, head) + _frame(3, 0, stream, (8).to_bytes(4, "big"))
                for stream in streams
            )
