"""A promotion and a stop under load over gRPC, with messages that cost much beside it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np
from grpc_health.v1 import health_pb2

from service.codecs.inference.wire import field
from service.handlers.grpc.open_inference_pb2 import ModelInferRequest
from tests.support.grpc_caller import SERVICE, GrpcCaller, calling
from tests.support.inference_messages import Input, raw, typed
from tools import running_service, watched_service
from tools.mlflow_server import MlflowServer, free_port, unique_name

CLIENTS = 4
FACTORS = {"1": 2.0, "2": 3.0}
ROWS = 60_000
NAME = "default"
SERVING, NOT_SERVING = 1, 2


def a_request(values: "np.ndarray[Any, Any]") -> Any:
    """Return a request for these rows."""
    data = values.astype("<f8").tobytes()
    return raw({"a": ("FP64", [len(values)], data)}, model_name=NAME)


def numbers(answer: Any) -> "np.ndarray[Any, Any]":
    """Return the numbers of an answer."""
    (data,) = answer.raw_output_contents
    return np.frombuffer(data, "<f8")


class _Clients:
    """Clients that ask for one row after another, until the service takes no calls any more."""

    def __init__(self, address: str) -> None:
        self.seen: list[list[str]] = [[] for _ in range(CLIENTS)]
        self.wrong: list[str] = []
        self.ended = [False] * CLIENTS
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(address, at), daemon=True)
            for at in range(CLIENTS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def have_seen(self, version: str) -> bool:
        """Tell whether each client's last answer was this version's."""
        return all(seen and seen[-1] == version for seen in self.seen)

    def _ask(self, address: str, client: int) -> None:
        with calling(address) as caller:
            number = float(client)
            while not self._stopping.is_set():
                number += CLIENTS
                try:
                    answer = caller("ModelInfer", a_request(np.array([number])))
                except grpc.RpcError as raised:
                    error: Any = raised
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        self.wrong.append(str(error))
                    self.ended[client] = True
                    return
                version, (found,) = answer.model_version, numbers(answer)
                if found != number * FACTORS[version]:
                    self.wrong.append(f"{found} for {number} by {version}")
                self.seen[client].append(version)
                self._stopping.wait(0.002)


class _Watched:
    """What `Watch` tells, as it comes."""

    def __init__(self, caller: GrpcCaller) -> None:
        self.told: list[int] = []
        self.code: Any = None
        watch = caller.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        self._stream = watch(health_pb2.HealthCheckRequest(service=NAME))
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        self.told.extend(answer.status for answer in self._stream)
        self.code = self._stream.code()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(30)


def _costly(values: "np.ndarray[Any, Any]") -> Iterator[Any]:
    """Give requests for the same rows in each form."""
    yield a_request(values)
    yield ModelInferRequest(
        model_name=NAME, inputs=[typed("a", "FP64", [ROWS, 1], values.tolist())]
    )
    whole = [int(value) for value in values]
    yield ModelInferRequest(model_name=NAME, inputs=[typed("a", "INT64", [ROWS], whole)])
    one_by_one = b"".join(b"\x39" + value.tobytes() for value in values)
    described = Input(name="a", datatype="FP64", shape=[ROWS]).SerializeToString()
    yield field(1, NAME.encode()) + field(5, described + field(5, one_by_one))


def test_a_promotion_and_a_stop_lose_and_mix_nothing_and_nothing_holds_the_event_loop(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """Beside it come large messages, compressed, unpacked and typed, and such that are wrong."""
    name = unique_name("messages")
    for factor in FACTORS.values():
        mlflow_server.register_tiny(name, factor)
    mlflow_server.set_alias(name, "champion", 1)
    values = np.arange(ROWS, dtype="f8")
    port = free_port()
    with running_service.start(
        tmp_path,
        mlflow_server.uri,
        command=("-m", watched_service.__name__),
        models=f"{NAME}=models:/{name}@champion",
        grpc_port=port,
    ) as service:
        address = f"127.0.0.1:{port}"
        with calling(address) as caller, _Clients(address) as clients:
            watched = _Watched(caller)
            service.wait_until(lambda: clients.have_seen("1"), "all clients see version 1")
            mlflow_server.set_alias(name, "champion", 2)
            service.wait_until(lambda: clients.have_seen("2"), "all clients see version 2")
            for request in _costly(values):
                for compression in (None, grpc.Compression.Gzip):
                    answer = caller("ModelInfer", request, compression=compression)
                    assert np.array_equal(numbers(answer), values * FACTORS["2"])
            large = a_request(np.zeros(1_000_000))
            assert len(numbers(caller("ModelInfer", large))) == 1_000_000
            named = field(1, NAME.encode())
            for wrong in (
                a_request(np.zeros(1_200_000)),
                named + b"\x2a\x00" * 500_000,
                named + b"\x3a\x00" * 500_000,
                named + b"\x22\x00" * 500_000,
            ):
                code, _ = caller.refused("ModelInfer", wrong)
                assert code in {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
            bomb = a_request(np.zeros(20_000_000))
            code, _ = caller.refused("ModelInfer", bomb, compression=grpc.Compression.Gzip)
            assert code == "RESOURCE_EXHAUSTED"
            assert watched.told == [SERVING]
            assert not any(clients.ended), clients.wrong
            assert service.stop() in {0, -15, 143}
            deadline = time.monotonic() + 30
            while not all(clients.ended) and time.monotonic() < deadline:
                time.sleep(0.05)
            watched.join()
        assert all(clients.ended)
        assert clients.wrong == []
        assert (watched.told, watched.code) == ([SERVING, NOT_SERVING], grpc.StatusCode.OK)
        log = service.log.read_text("utf-8")
    assert watched_service.WORST_GAP in log, "the watch was not on"
    assert watched_service.BLOCKED not in log
    assert "Traceback" not in log
    assert SERVICE not in log
