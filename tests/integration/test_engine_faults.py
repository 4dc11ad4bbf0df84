"""What a compiled engine does not answer is told to the deployment's observer, once."""

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pandas as pd
import pytest

from service.core.versions import ModelVersion, StoredVersion
from service.predictors.report import Report
from service.processes.child_threads import ChildThreads
from service.processes.temp import TempFolder
from service.store import manifest
from service.store.compiled_files import FILES
from service.telemetry.fan_out import fan_out
from service.telemetry.metrics.exposition import exposition
from service.telemetry.metrics.metrics import Metrics
from service.telemetry.observer import NullObserver
from service.workers.factory import WorkerFactory
from service.workers.messages import RawRequest
from service.workers.pool import Pool
from service.workers.pool_settings import PoolSettings
from tests.support.fake_source import a_version
from tests.support.fake_workers import a_call
from tests.support.scrapes import read, total
from tests.support.unlucky_model import UNLUCKY, Unlucky
from tests.support.waiting import until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    import mlflow.sklearn
    from mlflow.models import infer_signature

    from service.predictors.opening import REPORT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fork server's")

CALL_S = 20.0
SOON_S = 60.0
FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1.0, None, 3.0]})


class Engines(NullObserver):
    """Keeps what it is told of engines."""

    def __init__(self) -> None:
        self.faults: list[dict[str, int]] = []
        self.fallbacks: list[dict[str, int]] = []

    def engine_faults(self, version: ModelVersion, faults: Mapping[str, int]) -> None:
        """Keep it."""
        assert version == a_version(1)
        self.faults.append(dict(faults))

    def engine_fallbacks(self, version: ModelVersion, fallbacks: Mapping[str, int]) -> None:
        """Keep it."""
        assert version == a_version(1)
        self.fallbacks.append(dict(fallbacks))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[StoredVersion, Path]:
    """Store a version, and what its compiler would have left."""
    folder = tmp_path_factory.mktemp("unlucky")
    TempFolder(folder / "temp").use()
    model = Unlucky().fit(FRAME, FRAME["a"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model,
            folder / "model",
            signature=infer_signature(FRAME, model.predict(FRAME)),
            serialization_format="cloudpickle",
            pip_requirements=[],
        )
    recorded = manifest.build(folder / "model")
    manifest.write(folder / manifest.MANIFEST_NAME, recorded)
    files = folder / "compiled" / FILES
    files.mkdir(parents=True)
    report = Report((), {1: "matrix"}, "direct", (), 2048, 1e-12, 1, 0.5)
    (files / REPORT).write_bytes(msgspec.json.encode(report))
    manifest.write(folder / "compiled" / manifest.MANIFEST_NAME, manifest.build(files))
    stored = StoredVersion(a_version(1), folder / "model", recorded.digest)
    return stored, folder / "compiled"


async def test_engine_faults(
    compiled: tuple[StoredVersion, Path], pool_settings: PoolSettings
) -> None:
    """The caller gets MLflow's own answer; what nothing happened in tells of nothing."""
    stored, folder = compiled
    seen, metrics = Engines(), Metrics(list)
    observer = fan_out([seen, metrics.observer("m")])
    pool = Pool(stored, WorkerFactory(ChildThreads()), pool_settings, observer=observer)
    async with anyio.create_task_group() as host:
        await host.start(pool.run)
        await until(lambda: pool.size == 1, SOON_S)
        report = (await pool.activate(str(folder), CALL_S)).report
        assert report is not None

        async def ask(value: float) -> Any:
            call = msgspec.structs.replace(
                a_call(value), columns=[*a_call(value).columns, *a_call(0.0).columns]
            )
            async with pool.acquire() as worker:
                return (await worker.predict(call, CALL_S)).columns

        async def ask_raw(row: dict[str, float]) -> None:
            body = msgspec.json.encode({"instances": [row]})
            async with pool.acquire() as worker:
                assert (await worker.predict_raw(RawRequest(body=body), CALL_S)).rows == 1

        assert await ask(1.0) == a_call(1.5).columns
        assert (seen.faults, seen.fallbacks) == ([], [])
        assert await ask(UNLUCKY) == a_call(UNLUCKY + 0.5).columns
        assert seen.faults == [{"matrix": 1}]
        assert await ask(1.0) == a_call(1.5).columns
        assert seen.faults == [{"matrix": 1}]
        # They come at most ten times a second, with whatever answer is next.
        await ask_raw({"a": UNLUCKY, "b": 0.0})
        # A column that is not there is MLflow's to fill in: no engine was compared on such rows.
        await ask_raw({"a": 1.0})
        with anyio.fail_after(SOON_S):
            while not seen.fallbacks:
                await ask(1.0)
        assert (seen.faults, seen.fallbacks) == ([{"matrix": 1}] * 2, [{"matrix": 1}])
        scraped = read(exposition(await metrics.snapshot(), "").body.decode())
        assert total(scraped, "hotswap_engine_faults_total", "engine=matrix", "version=1") == 2
        assert total(scraped, "hotswap_engine_fallbacks_total", "engine=matrix", "version=1") == 1
        assert total(scraped, "hotswap_worker_load_seconds_count", "version=1") == 1
        pool.close()
