"""Targets over HTTP: a running service is sent nonsense, and has to be as before afterwards."""

import base64
import hashlib
import hmac
import http.client
import json
import socket
import time
from random import Random
from typing import Any

import psutil
import pyarrow as pa

from tests.fuzz.nonsense import TEXTS, json_text, mutated, pieces, value
from tools.arrow_bodies import ARROW, stream
from tools.running_service import RunningService

TOKEN, SECRET = "token-of-the-fuzz-run", "secret-of-the-fuzz-run"
KINDS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
_LIVE_LIMIT_S = 1.0
_STALLED_S = 5.0
"""What an answer may take where the service did not compute meanwhile."""
_MORE_BYTES = 256 * 2**20
"""That the server process may hold beyond what it had; bodies and answers are below 1 MiB."""
_QUIET_S = 0.3
_MOST_BYTES = 4 * 2**20
_MODELS_FAULTS = {"urn:mlflow-hotswap:non-finite-prediction", "urn:mlflow-hotswap:model-failed"}
_MODELS = "the model"
"""Which such faults name where they have no type."""
_PATHS = (
    "/predict",
    "/v2/models/x/infer",
    "/v2/repository/index",
    "/v2/health/ready",
    "/health",
    "/health/live",
    "/model/info",
    "/model/journal?limit=5",
    "/model/pin",
    "/reload-model",
    "/schema/openapi.json",
    "/webhooks/mlflow",
    "/",
    "/%2e%2e/etc/passwd",
    "//evil.example/",
    "http://evil.example/predict",
    "*",
)
_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "X")
_USUAL = [("host", "127.0.0.1"), ("content-type", "application/json")]
_ODD_HEADERS = (
    ("accept", "application/vnd.apache.arrow.stream"),
    ("accept", ",".join(["a/b;q=0.1"] * 200)),
    ("accept", "*/*;q=nan"),
    ("authorization", f"Bearer {TOKEN}"),
    ("authorization", "Bearer " + "x" * 9000),
    ("connection", "close"),
    ("connection", "upgrade"),
    ("content-encoding", "gzip"),
    ("content-length", "-1"),
    ("content-length", "9" * 30),
    ("content-type", "text/plain"),
    ("content-type", ARROW),
    ("cookie", "a=b; " * 500),
    ("expect", "100-continue"),
    ("host", "evil.example"),
    ("host", ""),
    ("origin", "null"),
    ("range", "bytes=0-1"),
    ("transfer-encoding", "chunked"),
    ("transfer-encoding", "identity, chunked"),
    ("upgrade", "websocket"),
    ("upgrade", "h2c"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-request-id", "a\x1b[31m"),
    ("x" * 3000, "y"),
)


class Service:
    """The service that is sent things, and what is to be true of it afterwards."""

    def __init__(self, running: RunningService) -> None:
        self.running = running
        self.port = int(running.url.rpartition(":")[2])
        self._process = psutil.Process(running.process.pid)
        self._before_bytes = self._process.memory_info().rss
        self._read_lines = 0

    def exchange(self, request: list[bytes], quiet_s: float = _QUIET_S) -> list[int]:
        """Send the pieces on a connection; return the statuses that came, none for a closed one.

        It waits so long for more. Raise AssertionError for a 500 that is not the model's.
        """
        got = bytearray()
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as caller:
            caller.settimeout(quiet_s)
            try:
                for piece in request:
                    caller.sendall(piece)
                while len(got) < _MOST_BYTES and not _is_whole(got):
                    if not (data := caller.recv(65_536)):
                        break
                    got += data
            except OSError:
                # It closed while we sent, or waits for more: either may be right.
                pass
        return _statuses(bytes(got))

    def check(self) -> None:
        """Raise AssertionError unless it lives, answers soon, and is no larger than is right."""
        assert self.running.process.poll() is None, "the service has ended"
        begun, used_s = time.monotonic(), self._used_s()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/health/live")
            assert connection.getresponse().status == 200
        finally:
            connection.close()
        took_s, used_s = time.monotonic() - begun, self._used_s() - used_s
        # On a busy machine it may wait for a CPU; that is no fault of what it was sent.
        late = took_s > (_LIVE_LIMIT_S if used_s > _LIVE_LIMIT_S / 2 else _STALLED_S)
        assert not late, f"/health/live took {took_s:.2f} s, {used_s:.2f} s of it computing"

    def _used_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def settle(self) -> None:
        """Do as `check`, and raise for tracebacks in the log, lost workers and memory as well."""
        self.check()
        grown = self._process.memory_info().rss - self._before_bytes
        assert grown < _MORE_BYTES, f"it holds {grown / 2**20:.0f} MiB more than before"
        lines = self.running.log.read_text("utf-8", "replace").splitlines()
        new, self._read_lines = lines[self._read_lines :], len(lines)
        for line in new:
            assert "Traceback (most recent call last)" not in line or "model raised" in line, line
            assert '"level": "error"' not in line or "model raised" in line, line
        health = self.running.get("/health")
        assert health.status_code == 200, health.text


class Caller:
    """A target that a service is sent to."""

    name = ""

    def __init__(self, service: Service) -> None:
        self._service = service

    def settle(self) -> None:
        """Look at the service's log, memory and health."""
        self._service.settle()

    def _sent(self, request: list[bytes]) -> str:
        statuses = self._service.exchange(request)
        self._service.check()
        return " ".join(map(str, statuses[:2])) or "closed"


class Heads(Caller):
    """Requests with odd methods, paths, headers and framings, some after one another."""

    name = "http"

    def run(self, rng: Random) -> str:
        """Send one to three, each mutated or not, in pieces."""
        sent = b"".join(self._request(rng) for _ in range(rng.choice([1, 1, 1, 2, 3])))
        if rng.random() < 0.6:
            sent = mutated(rng, sent, most=4)
        return self._sent(pieces(rng, sent))

    @staticmethod
    def _request(rng: Random) -> bytes:
        method, path = rng.choice(_METHODS), rng.choice(_PATHS)
        headers = [*_USUAL, *rng.choices(_ODD_HEADERS, k=rng.randint(0, 4))]
        body = rng.choice([b"", b"{}", json_text(value(rng)), b"5\r\nhello\r\n0\r\n\r\n"])
        if rng.random() < 0.7:
            headers.append(("content-length", str(len(body) + rng.choice([0, 0, 0, 1, -1]))))
        rng.shuffle(headers)
        head = "".join(f"{name}: {text}\r\n" for name, text in headers)
        version = rng.choice(["1.1", "1.1", "1.0", "0.9", "2.0"])
        return f"{method} {path} HTTP/{version}\r\n{head}\r\n".encode("latin-1") + body


class RawBytes(Caller):
    """Bytes that are no HTTP at all."""

    name = "raw-bytes"

    def run(self, rng: Random) -> str:
        """Send TLS, HTTP/2 or anything."""
        begins = (b"", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET ", b"\r\n" * 200)
        return self._sent(pieces(rng, rng.choice(begins) + rng.randbytes(rng.randint(1, 3000))))


class JsonBodies(Caller):
    """Bodies of JSON, of the right form with wrong values, or mutated."""

    name = "json"

    def run(self, rng: Random) -> str:
        """Ask for predictions."""
        body = json_text(self._document(rng))
        if rng.random() < 0.4:
            body = mutated(rng, body)
        more = [("accept", ARROW)] if rng.random() < 0.1 else []
        return self._sent(pieces(rng, post("/predict", body, more)))

    @staticmethod
    def _document(rng: Random) -> Any:
        names = rng.sample(KINDS, rng.randint(0, len(KINDS)))
        rows = rng.choice([0, 1, 1, 2, 3, 70])
        match rng.randrange(4):
            case 0:
                return value(rng)
            case 1:
                columns = {name: [_fitting(rng, name) for _ in range(rows)] for name in names}
                return {"columns": columns}
            case 2:
                return {"instances": value(rng), "params": value(rng)}
            case _:
                row = [{name: _fitting(rng, name) for name in names} for _ in range(rows)]
                return {"instances": row}


class ArrowBodies(Caller):
    """Arrow streams, mutated."""

    name = "arrow"

    def run(self, rng: Random) -> str:
        """Ask for predictions by a stream."""
        rows = rng.choice([0, 1, 2, 50])
        table = {name: _column(rng, name, rows) for name in rng.sample(KINDS, rng.randint(1, 5))}
        metadata = {"hotswap.params": rng.choice(TEXTS[:4])} if rng.random() < 0.1 else None
        body = stream(
            table,
            metadata=metadata,
            compression=rng.choice([None, None, "lz4", "zstd"]),
            batch_rows=rng.choice([None, 1, 7]),
        )
        if rng.random() < 0.7:
            body = mutated(rng, body)
        return self._sent(pieces(rng, post("/predict", body, [("content-type", ARROW)])))


class Deliveries(Caller):
    """Webhooks over HTTP, signed or not, and calls that want the token."""

    name = "webhook-and-admin"

    def run(self, rng: Random) -> str:
        """Send one."""
        body = mutated(rng, json_text({"data": {"name": "m", "alias": "a"}}))
        if rng.random() < 0.4:
            path = rng.choice(["/model/pin", "/reload-model"])
            method = rng.choice(["POST", "DELETE"])
            token = rng.choice([TOKEN[:-1], "", mutated(rng, TOKEN.encode()).hex()])
            request = post(path, body, [("authorization", f"Bearer {token}")])
            return self._sent([request.replace(b"POST", method.encode(), 1)])
        delivery, now = f"id{rng.random()}", str(int(time.time()) + rng.choice([0, 0, -900]))
        signed = hmac.digest(SECRET.encode(), f"{delivery}.{now}.".encode() + body, hashlib.sha256)
        signature = "v1," + base64.b64encode(signed).decode()
        if rng.random() < 0.3:
            signature = signature[: rng.randrange(len(signature))]
        headers = [
            ("x-mlflow-delivery-id", delivery),
            ("x-mlflow-timestamp", now),
            ("x-mlflow-signature", signature),
        ]
        return self._sent([post("/webhooks/mlflow", body, headers)])


def post(path: str, body: bytes, more: list[tuple[str, str]]) -> bytes:
    """Return a request of the usual form; what `more` has of its headers comes instead."""
    given = {**dict(_USUAL), "content-length": str(len(body)), **dict(more)}
    head = "".join(f"{name}: {text}\r\n" for name, text in given.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1", "replace") + body


def _fitting(rng: Random, kind: str) -> Any:
    """Return a value of an input's type, or now and then any."""
    if rng.random() < 0.02:
        return value(rng)
    return {
        "boolean": rng.random() < 0.5,
        "integer": rng.randint(-(2**31), 2**31 - 1),
        "long": rng.randint(-(2**63), 2**63 - 1),
        "float": rng.uniform(-1, 1),
        "double": rng.uniform(-1e300, 1e300),
        "string": rng.choice(["", "a", "ä", "\U0001f600"]),
        "binary": "YQ==",
        "datetime": rng.choice(["2024-01-01", "2024-01-01T10:00:00.123456789Z"]),
    }[kind]


def _column(rng: Random, kind: str, rows: int) -> Any:
    types = {
        "boolean": pa.bool_(),
        "integer": pa.int32(),
        "long": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "string": pa.string(),
        "binary": pa.binary(),
        "datetime": pa.timestamp("us"),
    }
    made = {"binary": b"a", "datetime": 1_700_000_000_000_000, "string": "a", "boolean": True}
    one = made.get(kind, 1)
    values = [None if rng.random() < 0.1 else one for _ in range(rows)]
    return pa.array(values, types[kind])


def _is_whole(got: bytearray) -> bool:
    """Return whether one answer is there with all of its body."""
    head, mark, body = bytes(got).partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        name, _, text = line.partition(b":")
        if name == b"content-length" and mark:
            return len(body) >= int(text)
    return False


def _statuses(got: bytes) -> list[int]:
    """Return each answer's status. Raise AssertionError for a 500 that is not the model's."""
    statuses = []
    for part in got.split(b"HTTP/1.1 ")[1:]:
        statuses.append(int(part[:3]))
        if statuses[-1] == 500:
            body = part.partition(b"\r\n\r\n")[2]
            told = json.loads(body) if body.startswith(b"{") else {}
            is_models = told.get("type") in _MODELS_FAULTS or _MODELS in told.get("error", "")
            assert is_models, part[:1500].decode("latin-1")
    return statuses
