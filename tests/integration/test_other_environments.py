"""Versions that run in an environment of their own: other packages, another Python."""

import functools
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pyarrow as pa
import pyarrow.ipc
import pytest

from service.codecs import catalog
from service.compiling.compilation import Compiler, CompileTurns
from service.compiling.files import CompiledFiles
from service.core.child_needs import OLDEST_MSGSPEC
from service.core.described import Described
from service.core.errors import ScoringError, UnsupportedContentTypeError
from service.core.versions import StoredVersion
from service.processes.child_threads import ChildThreads
from service.serving.batching.batcher import BatchSettings
from service.serving.model import LoadedModel, ModelHost
from service.workers.factory import WorkerFactory
from service.workers.messages import RawReply, RawRequest
from service.workers.pool_settings import PoolSettings
from tests.support.other_environments import OtherEnvironment, log_forest, made
from tests.support.pools import CALL_S, SOON_S
from tests.support.waiting import is_gone, until

LONG = os.environ.get("HOTSWAP_LONG_FAULTS") == "1"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a fork server for each")

OLDEST = ("mlflow-skinny", "numpy<2.3", "pandas<3", f"msgspec=={OLDEST_MSGSPEC}")
MLFLOW_2_NUMPY_1 = ("mlflow>=2.22,<3", "numpy<2", "pandas<3", "scikit-learn<1.6", "msgspec")
MLFLOW_2_9 = (
    *("mlflow-skinny==2.9.2", "numpy<2", "pandas<2.1", "setuptools<81"),
    f"msgspec=={OLDEST_MSGSPEC}",
)
WITH_ENGINES = ("scikit-learn", "onnxruntime", "treelite")
NEWEST = ("mlflow-skinny", "numpy>=2.3", "pandas>=3", "msgspec")


def in_long_form(name: str, python: str, *packages: str) -> object:
    """Return the parameters of an environment that only the long form makes."""
    mark = pytest.mark.skipif(not LONG, reason="long form: HOTSWAP_LONG_FAULTS=1")
    return pytest.param((python, *packages), id=name, marks=mark)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("3.10", *OLDEST), id="oldest Python and msgspec"),
        in_long_form("MLflow 2, numpy 1", "3.11", *MLFLOW_2_NUMPY_1),
        in_long_form("MLflow 2.9", "3.10", *MLFLOW_2_9),
        in_long_form("Python 3.12", "3.12", *NEWEST),
        in_long_form("Python 3.13", "3.13", *NEWEST, *WITH_ENGINES, "pyarrow"),
    ],
)
def other(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> OtherEnvironment:
    """Make an environment, and log a version in it."""
    python, *packages = request.param
    return made(tmp_path_factory.mktemp("other"), python, packages)


@asynccontextmanager
async def hosted(
    other: OtherEnvironment, settings: PoolSettings
) -> AsyncIterator[tuple[LoadedModel, WorkerFactory]]:
    """Host the version in its environment, and see that nothing is left of that."""
    factory = WorkerFactory(ChildThreads())
    host = ModelHost(factory, settings, BatchSettings(100, 0.002, CALL_S))
    async with anyio.create_task_group() as tasks:
        run = functools.partial(host.run, other.stored, other.environment)
        model: LoadedModel = await tasks.start(run)
        (server,) = factory.fork_servers.pids
        try:
            yield model, factory
        finally:
            model.close()
    assert is_gone(server)


async def ask(model: LoadedModel, codec: str, body: bytes, answer: str = "") -> RawReply:
    """Have a worker answer a body."""
    request = RawRequest(codec, answer or codec, 10**7, body=body)
    async with model.pool.acquire() as worker:
        return await worker.predict_raw(request, CALL_S)


async def test_a_version_answers_as_its_own_libraries_do(
    other: OtherEnvironment, pool_settings: PoolSettings
) -> None:
    """As `mlflow.pyfunc` there, in JSON and by MLflow's protocol; Arrow where there is pyarrow.

    Its contract needs no pyarrow, and what was tried of it is what any other version shows.
    """
    async with hosted(other, pool_settings) as (model, _):
        assert model.loaded.python_version == other.environment.python
        assert model.loaded.mlflow_version == other.mlflow
        tried = await model.pool.smoke(CALL_S)
        assert (tried.refusal, tried.rows_from) == ("", "its input example")
        assert tried.row_wise
        rows = json.loads(tried.example)
        assert [row["s"] for row in rows["instances"]] == ["x", "zoé"]
        answered = await ask(model, catalog.ROWS_AND_COLUMNS, tried.example)
        assert json.loads(answered.body)["predictions"] == other.answers
        records = json.dumps({"dataframe_records": rows["instances"]}).encode()
        if other.mlflow.startswith("2.9"):
            # Its own server wants what a model does without.
            with pytest.raises(ScoringError, match="No module named 'flask'"):
                await ask(model, catalog.SCORING_JSON, records)
        else:
            scored = await ask(model, catalog.SCORING_JSON, records)
            assert json.loads(scored.body)["predictions"] == other.answers
        assert (await model.pool.speed(CALL_S)).timings
        batch = pa.RecordBatch.from_pylist(rows["instances"])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        if other.has_arrow:
            arrow = await ask(model, catalog.ARROW, sink.getvalue().to_pybytes())
            assert pa.ipc.open_stream(arrow.body).read_all().num_rows == len(other.answers)
            return
        with pytest.raises(UnsupportedContentTypeError, match="No module named 'pyarrow'"):
            await ask(model, catalog.ARROW, sink.getvalue().to_pybytes())


async def test_its_workers_are_forked_and_replaced_quickly(
    other: OtherEnvironment, pool_settings: PoolSettings
) -> None:
    """The first one waits for the imports of its fork server, and no other one does."""
    async with hosted(other, pool_settings) as (model, factory):
        (server,) = factory.fork_servers.pids
        async with model.pool.acquire() as worker:
            lost = worker.child.pid
            worker.kill()
        await until(lambda: model.can_answer and model.pool.pids != [lost], SOON_S)
        assert factory.fork_servers.pids == [server]


@pytest.mark.skipif(not LONG, reason="long form: HOTSWAP_LONG_FAULTS=1")
async def test_predictors_are_compiled_in_the_environment_and_kept_by_it(
    other: OtherEnvironment, pool_settings: PoolSettings, tmp_path: Path
) -> None:
    """By its own engines; what was compiled elsewhere is not found."""
    logged = log_forest(other, tmp_path)
    if logged is None:
        pytest.skip("this environment has no scikit-learn")
    (tmp_path / "aside").mkdir()
    files = CompiledFiles(tmp_path / "compiled", tmp_path / "aside", 1e-12)

    async def describe(_: StoredVersion) -> Described:
        return Described(loader="mlflow.sklearn")

    factory = WorkerFactory(ChildThreads())
    compiler = Compiler(files, pool_settings, factory, describe, CompileTurns())
    host = ModelHost(factory, pool_settings, BatchSettings(100, 0.002, CALL_S), compiler)
    async with anyio.create_task_group() as tasks:
        model: LoadedModel = await tasks.start(
            functools.partial(host.run, logged, other.environment)
        )
        model.compiling.allow_all()
        await until(lambda: model.compiling.state == "tuned", 10 * SOON_S)
        report = model.compiling.report
        assert report is not None
        # Which of them are admitted is for the environment's releases to say.
        assert {one.name for one in report.predictors if one.outcome == "admitted"} >= {
            *("pyfunc", "native")
        }
        assert await compiler.kept(logged, other.environment) != ""
        assert await compiler.kept(logged) == ""
        tried = await model.pool.smoke(CALL_S)
        assert tried.refusal == ""
        model.close()
