"""What a request leaves behind is freed with its last reference: the collector finds nothing of it.

Whatever it finds held a request's body until then, and finding it holds up the event loop.
"""

import json
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from grpc import RpcError

from tests.support.grpc_caller import GrpcCaller, calling
from tests.support.inference_messages import request
from tools import collecting_service, running_service
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.running_service import RunningService

MANY = 100
CLIENTS = 16
GOOD, UNRULY, FULL = "good", "unruly", "full"
GONE = "gone"
IN_TIME_OR_NOT = frozenset({200, 503, 504})
LIBRARYS = frozenset(
    {
        *("_HandlerCallDetails", "_Metadatum", "__pyx_scope_struct_35__find_method_handler"),
        *("cython_function_or_method", "tuple"),
    }
)
"""What gRPC's library (1.8x) leaves of each call, answered or not."""
INSTANCES = json.dumps({"instances": [{"a": 1.0}]})
SPLIT = json.dumps({"dataframe_split": {"columns": ["a"], "data": [[1.0]]}})
RAISES = json.dumps({"instances": [{"a": 1.0, "do": "raise"}]})
SPLIT_RAISES = json.dumps({"dataframe_split": {"columns": ["a", "do"], "data": [[1.0, "raise"]]}})
TENSORS = json.dumps({"inputs": [{"name": "a", "datatype": "FP64", "shape": [1], "data": [1.0]}]})


@dataclass
class Served:
    """The service, and clients of it."""

    service: RunningService
    client: httpx.Client
    grpc: GrpcCaller

    def found(self) -> Counter[str]:
        """Return what was found so far, by a look from now on, as types and how many of each."""

        def looks() -> list[dict[str, Any]]:
            told = self.service.events()
            return [one for one in told if one.get("event") == collecting_service.COLLECTED]

        before = len(looks())
        self.service.wait_until(lambda: len(looks()) >= before + 2, "it is collected")
        return Counter(looks()[-1]["types"])

    def post(self, path: str, content: str, **headers: str) -> int:
        """Return the status of an answer."""
        sent = {"content-type": "application/json", **headers}
        return self.client.post(path, content=content, headers=sent).status_code


@pytest.fixture(scope="module")
def served(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """Serve a model that answers, one that raises if it is told to, and one that has no queue."""
    tiny, unruly = unique_name(), unique_name("unruly")
    mlflow_server.register_tiny(tiny)
    mlflow_server.register_unruly(unruly)
    for name in (tiny, unruly):
        mlflow_server.set_alias(name, "champion", 1)
    folder = tmp_path_factory.mktemp("garbage")
    registered = {GOOD: tiny, UNRULY: unruly, FULL: tiny}
    models = folder / "models.toml"
    models.write_text(
        "".join(
            f'[models.{name}]\nuri = "models:/{version}@champion"\n'
            for name, version in registered.items()
        )
        + "max_queue_rows = 1\n"
    )
    port = free_port()
    started = running_service.start(
        folder,
        mlflow_server.uri,
        command=("-m", collecting_service.__name__),
        models_file=models,
        grpc_port=port,
        workers=1,
        # A version that raises for a while is taken back, and asked again beside others.
        probation_s=0,
    )
    with (
        started as service,
        httpx.Client(base_url=service.url, trust_env=False, timeout=30) as client,
        calling(f"127.0.0.1:{port}") as grpc,
    ):
        yield Served(service, client, grpc)


Asked = Callable[[Served], object]


def predict(body: str, model: str = GOOD, **headers: str) -> Asked:
    """Return what asks for predictions."""
    return lambda served: served.post(f"/models/{model}/predict", body, **headers)


def path(wanted: str, body: str) -> Asked:
    """Return what sends a body to a path."""
    return lambda served: served.post(wanted, body)


def grpc(*, model: str = GOOD, **columns: list[float | str]) -> Asked:
    """Return what asks by gRPC, and gives the call's status."""
    message = request(columns or {"a": [1.0]}, raw=False, model_name=model)

    def ask(served: Served) -> str:
        try:
            served.grpc("ModelInfer", message)
        except RpcError as error:
            status: str = error.code().name
            return status
        return "OK"

    return ask


def hang_up(served: Served) -> str:
    """Ask, and go before the answer."""
    with socket.create_connection(("127.0.0.1", served.client.base_url.port or 80)) as caller:
        head = f"POST /models/{GOOD}/predict HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        length = f"content-type: application/json\r\ncontent-length: {len(INSTANCES)}\r\n\r\n"
        caller.sendall((head + length + INSTANCES).encode())
    return GONE


KINDS: dict[str, tuple[Asked, object]] = {
    "answered": (predict(INSTANCES), 200),
    "answered in MLflow's form": (path(f"/models/{GOOD}/invocations", SPLIT), 200),
    "answered by tensors": (path(f"/v2/models/{GOOD}/infer", TENSORS), 200),
    "no JSON": (predict("{"), 400),
    "no JSON of MLflow's": (path(f"/models/{GOOD}/invocations", "{"), 400),
    "no tensors": (path(f"/v2/models/{GOOD}/infer", "{"), 400),
    "another column": (predict('{"instances": [{"b": 1.0}]}'), 400),
    "the model raises": (predict(RAISES, UNRULY), 500),
    "the model raises, in MLflow's form": (
        path(f"/models/{UNRULY}/invocations", SPLIT_RAISES),
        400,
    ),
    "out of time": (predict(INSTANCES, **{"x-request-timeout-ms": "1"}), IN_TIME_OR_NOT),
    "a wrong time": (predict(INSTANCES, **{"x-request-timeout-ms": "soon"}), 400),
    "an unknown model": (predict(INSTANCES, "nobody"), 404),
    "an unknown path": (path("/nowhere", INSTANCES), 404),
    "another content type": (predict(INSTANCES, **{"content-type": "text/html"}), 415),
    "the caller hangs up": (hang_up, GONE),
    "a read": (lambda served: served.client.get("/health").status_code, 200),
    "by gRPC": (grpc(), "OK"),
    "by gRPC, the model raises": (grpc(model=UNRULY, a=[1.0], do=["raise"]), "INTERNAL"),
    "by gRPC, another column": (grpc(b=[1.0]), "INVALID_ARGUMENT"),
    "by gRPC, an unknown model": (grpc(model="nobody"), "NOT_FOUND"),
}


@pytest.mark.parametrize(("ask", "status"), KINDS.values(), ids=KINDS.keys())
def test_a_request_leaves_nothing_for_the_collector(
    served: Served, ask: Asked, status: object
) -> None:
    """Whatever becomes of it. gRPC's library leaves five small objects of its own for each call."""
    before = served.found()
    statuses = {ask(served) for _ in range(MANY)}
    assert statuses <= (status if isinstance(status, frozenset) else {status})
    by_grpc = isinstance(status, str) and status != GONE
    assert left(before, served.found(), MANY, library=by_grpc) == {}


def test_a_request_that_is_refused_leaves_nothing_either(served: Served) -> None:
    """Of many together all but a few are."""
    before = served.found()

    def ask(_: int) -> int:
        return served.post(f"/models/{FULL}/predict", INSTANCES)

    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = list(pool.map(ask, range(MANY)))
    refused = statuses.count(503)
    assert refused > MANY // 4
    assert left(before, served.found(), refused) == {}


def left(
    before: Counter[str], after: Counter[str], requests: int, *, library: bool = False
) -> dict[str, int]:
    """Return what was found meanwhile of more than every second request."""
    return {
        name: count
        for name, count in (after - before).items()
        if count > requests * (1.5 if library and name in LIBRARYS else 0.5)
    }
