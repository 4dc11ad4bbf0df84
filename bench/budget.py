"""What each step of a lone single-row request takes, and what the whole takes by HTTP."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
from litestar import Litestar
from litestar.di import Provide

from bench import contenders, starting
from bench.ground import Ground
from bench.loads import Bodies
from bench.page import ranged, table
from bench.results import Results, Spread, Timing
from bench.wrk import drive
from service.access.gate import Gate
from service.codecs.rows_and_columns.codec import BY_ROWS, RowsAndColumns
from service.commands.demo import model as forest
from service.contracts.choose import contract_for
from service.contracts.contract import Predictions
from service.core.version_names import VersionNames
from service.core.versions import ModelVersion
from service.deployment import Deployment
from service.handlers.compression import Compression
from service.handlers.direct import DirectAnswers
from service.handlers.host_names import HostNames
from service.handlers.inference.direct import DirectInference
from service.handlers.predictions.direct import DirectPredictions
from service.handlers.predictions.predict import predict
from service.handlers.request_id import RequestIds
from service.handlers.scoring.direct import DirectScoring
from service.processes.child import start_child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.launch import preload
from service.serving.batching.batcher import Batcher, BatchSettings
from service.serving.dataplane import DataPlane, EncodedAnswer
from service.serving.routes import Routes
from service.serving.turns import Turns
from service.settings.service import ServiceSettings
from service.store.mlmodel import read_mlmodel
from service.telemetry.metrics.calls import CallCounts
from service.telemetry.observer import NULL_OBSERVER, Observer
from service.workers.cpu_budget import usable_cpus
from service.workers.handle import WorkerHandle
from service.workers.members import Members
from service.workers.occupancy import MOST_CALLS, Work
from service.workers.preloaded import PRELOADED

_CALLS = 2_000
_ANSWER = Predictions(1, [*forest.OUTPUTS], [bytes(8)] * 2, ["float64"] * 2, [[], []], [])

HTTP = "HTTP: a bare ASGI callable on uvicorn, wrk included"
ROUTE = "routing, request id, headers of the answer"
DECODE = "decode and validate, rows to columns"
QUEUE = "queue"
HOP = "to a worker and back, over a pipe"
PREDICT = "predict"
ENCODE = "encode"
WHOLE = "the whole by HTTP, wrk included"
STEPS = (HTTP, ROUTE, DECODE, QUEUE, HOP, PREDICT, ENCODE)

_LIMITS = {
    HTTP: "uvicorn's Python around httptools and uvloop, and four calls into the kernel",
    ROUTE: "Litestar's entry, what makes and sends the request id, and its place in the log",
    DECODE: "a Python loop over twelve columns; msgspec is the smallest part of it",
    QUEUE: "a future and a task for each batch, and the loop coming round",
    HOP: "waking the server process, and its calls into the kernel; the worker stays awake",
    PREDICT: "numpy's calls in the steps before the trees and around them; the trees are a quarter",
    ENCODE: "two buffers to lists, and msgspec",
}


def measure(ground: Ground, bodies: Bodies, results: Results) -> None:
    """Time each step in a loop of its own, and the whole by wrk."""
    results.budget = []
    body = bodies.of(contenders.HOTSWAP.dialect, 1)[0].read_bytes()
    for contender, name in ((contenders.BARE, HTTP), (contenders.HOTSWAP, WHOLE)):
        with starting.rested(contender, ground, bodies) as (url, _):
            target = bodies.target(url, contender.dialect, 1)
            drive(target, 1, 1)
            for number in range(1, results.rounds + 1):
                _keep(results, name, number, drive(target, 1, results.seconds).p50_ms)
    described: dict[str, Any] = read_mlmodel(ground.model)
    for number in range(1, results.rounds + 1):
        for name, took_ms in asyncio.run(_steps(described["signature"], ground, body)).items():
            _keep(results, name, number, took_ms)


def _keep(results: Results, name: str, number: int, took_ms: float) -> None:
    results.budget.append(Timing(name, 1, number, [took_ms]))


async def _steps(signature: dict[str, Any], ground: Ground, body: bytes) -> dict[str, float]:
    """Return the milliseconds of every step but HTTP's own."""
    contract = contract_for(forest.NAME, signature, refuse_unknown=False)
    codec, names = RowsAndColumns(contract), VersionNames(forest.NAME, "1")
    call, _ = codec.decode(body)
    took = {
        ROUTE: await _route_ms(body),
        DECODE: _loop_ms(lambda: codec.decode(body)),
        ENCODE: _loop_ms(lambda: codec.encode(_ANSWER, 0, 1, BY_ROWS, names)),
    }
    spec = ChildSpec(
        "bench.apps.budget_child:operations",
        "budget",
        msgspec.msgpack.encode(str(ground.model)),
        ground.folder,
        ground.environ(),
        most_calls=MOST_CALLS,
        busy_poll_s=ServiceSettings().worker_spin_us / 1e6 if usable_cpus() > 1 else 0,
    )
    preload(PRELOADED)
    child = await start_child(spec, ChildThreads(), 120)
    try:
        worker = WorkerHandle(child, ground.folder / "none")
        hop_ms = await _awaited_ms(lambda: worker.predict(call, 5))
        # It is made below.
        workers: Members[WorkerHandle] = Members(1, lambda: batcher.dispatch())  # noqa: PLW0108
        version = ModelVersion("", forest.NAME, "1", "", "", 0)
        batcher = Batcher(workers, BatchSettings(4096, 0.002, 30), version=version, row_wise=True)
        workers.add(worker)
        workers.end(worker, Work.HOLD)
        async with asyncio.TaskGroup() as host:
            running = host.create_task(batcher.run())
            queued_ms = await _awaited_ms(lambda: batcher.submit(call))
            running.cancel()
        took[HOP], took[QUEUE] = hop_ms, max(0.0, queued_ms - hop_ms)
        took[PREDICT] = await child.call("time", call, float, timeout_s=60)
    finally:
        await child.end()
    return took


async def _route_ms(body: bytes) -> float:
    """Time the application around a data plane that answers immediately."""
    deployed = _Deployed()
    at_once = _AtOnce()
    app = Litestar(
        route_handlers=[predict],
        dependencies={
            "dataplane": Provide(lambda: at_once, sync_to_thread=False),
            "deployments": Provide(lambda: deployed, sync_to_thread=False),
            "deployment": Provide(lambda: deployed, sync_to_thread=False),
        },
        logging_config=None,
    )
    counts = CallCounts()
    app.asgi_handler = DirectAnswers(
        RequestIds(app.asgi_handler, counts),
        (DirectPredictions(), DirectScoring(), DirectInference()),
        lambda _: cast("Deployment", deployed),
        at_once,
        Compression(2**20),
        2**20,
        HostNames("127.0.0.1").may_call,
        Gate((), wants_keys=False),
        Turns(),
        counts,
    )
    headers = [
        *((b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")),
        (b"content-length", b"%d" % len(body)),
    ]

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_: object) -> None:
        return

    async def ask() -> None:
        # Made anew, since the application writes into it.
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/predict",
            "raw_path": b"/predict",
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": {},
        }
        await app(scope, receive, send)

    return await _awaited_ms(ask)


class _Deployed:
    """A deployment with nothing behind it."""

    def __init__(self) -> None:
        self.routes = Routes()
        self.observer: Observer = NULL_OBSERVER

    def latest(self, deployment: object) -> object:
        """Return it: nothing takes its place."""
        return deployment


class _AtOnce(DataPlane):
    def __init__(self) -> None:
        version = ModelVersion("", forest.NAME, "1", "", "", 0)
        names = VersionNames.of(version, f"@{forest.ALIAS}")
        body = b'{"predictions":[{"archived_gb":20.8,"savings_gb":9.8}],' + names.json_end
        self._answer = EncodedAnswer(body, 1, version, names)

    async def infer(self, *_: object) -> Any:
        return self._answer


def _loop_ms(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(_CALLS):
        step()
    return (time.perf_counter() - began) / _CALLS * 1000


async def _awaited_ms(step: Callable[[], Awaitable[object]]) -> float:
    for _ in range(_CALLS // 10):
        await step()
    began = time.perf_counter()
    for _ in range(_CALLS):
        await step()
    return (time.perf_counter() - began) / _CALLS * 1000


def tables(results: Results) -> str:
    """Return the table of a run, in microseconds."""
    rows = [[name, ranged(_us(results, name)), _LIMITS[name]] for name in STEPS]
    spreads = [Spread.of(_us(results, name)) for name in STEPS]
    total = sum(spread.median for spread in spreads if spread)
    rows.append(["together", f"{total:,.0f}", ""])
    why = "the rest: what is cold in the server process's CPU and caches when it is woken"
    rows.append([WHOLE, ranged(_us(results, WHOLE)), why])
    return table(["", "microseconds", "what it is bound by"], rows)


def _us(results: Results, name: str) -> list[float]:
    return [t.ms[0] * 1000 for t in results.budget if t.name == name]
