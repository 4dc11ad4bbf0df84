"""A version that serves by workers without processes, and a data plane that asks it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from service.codecs.catalog import ROWS_AND_COLUMNS
from service.core.errors import ServiceError
from service.core.protocols import WireProtocol
from service.core.versions import ModelVersion, StoredVersion
from service.processes.child_threads import ChildThreads
from service.serving.batching.batcher import BatchSettings
from service.serving.dataplane import DataPlane, EncodedAnswer
from service.serving.interface import EncodedRequest, Interface
from service.serving.model import LoadedModel
from service.serving.proof import Proof
from service.serving.routes import Routes
from service.telemetry.observer import NullObserver, Observer
from service.workers.factory import WorkerFactory
from service.workers.messages import LoadReply
from service.workers.pool import Pool
from tests.support.batchers import a_batcher
from tests.support.fake_models import BATCHING, CONTRACT, POOL
from tests.support.fake_workers import FakeWorkers

VERSION = ModelVersion("r", "größe", "7", "", "", 0)
RAW_BODY_BYTES = 200


class Listening(NullObserver):
    """An observer that keeps what it is told of requests."""

    def __init__(self) -> None:
        self.answered: list[tuple[ModelVersion, int]] = []
        self.failed: list[tuple[ModelVersion | None, ServiceError]] = []
        self.took_s: list[float] = []
        self.protocols: list[WireProtocol] = []
        self.details: list[tuple[float, float | None, float | None, int, int]] = []

    def request_answered(
        self, version: ModelVersion, protocol: WireProtocol, rows: int, duration_s: float
    ) -> None:
        """Keep it."""
        self.answered.append((version, rows))
        self.protocols.append(protocol)
        self.took_s.append(duration_s)

    def request_detailed(
        self,
        version: ModelVersion,
        duration_s: float,
        decode_s: float | None,
        encode_s: float | None,
        waiting: int,
        unanswered: int,
    ) -> None:
        """Keep it."""
        del version
        self.details.append((duration_s, decode_s, encode_s, waiting, unanswered))

    def request_failed(
        self,
        version: ModelVersion | None,
        protocol: WireProtocol,
        error: ServiceError,
        duration_s: float,
    ) -> None:
        """Keep it."""
        self.failed.append((version, error))
        self.protocols.append(protocol)
        self.took_s.append(duration_s)


class Deployed:
    """A deployment of one version, which a data plane is asked for."""

    name = "größe"

    def __init__(self) -> None:
        self.routes = Routes()
        self.listening = Listening()
        self.observer: Observer = self.listening
        self.plane = DataPlane(RAW_BODY_BYTES, max_body_bytes=1_000)

    async def answer(
        self, body: bytes, codec: str = ROWS_AND_COLUMNS, answer: str = ROWS_AND_COLUMNS
    ) -> EncodedAnswer:
        """Answer a body as the data plane does."""
        request = EncodedRequest(body, codec, answer)
        return await self.plane.infer(self, WireProtocol.NATIVE, request)


@asynccontextmanager
async def serving(
    workers: FakeWorkers, batching: BatchSettings = BATCHING
) -> AsyncIterator[tuple[Deployed, LoadedModel]]:
    """Serve a version by these workers."""
    stored = StoredVersion(VERSION, Path("nowhere"), "")
    loaded = LoadReply(CONTRACT.signature, "", "", 0.0)
    pool = Pool(stored, WorkerFactory(ChildThreads()), POOL)
    interface = Interface.of(CONTRACT, VERSION, "@champion")
    model = LoadedModel(stored, interface, loaded, pool, batching)
    batcher: Any = a_batcher(workers, batching)
    model.batcher = batcher
    model.open_to_traffic(Proof(row_wise=True))
    deployed = Deployed()
    deployed.routes.swap(model)
    async with anyio.create_task_group() as host:
        host.start_soon(batcher.run)
        yield deployed, model
        host.cancel_scope.cancel()
