"""The memory and the start of workers in environments of their own, beside the service's own.

    python -m bench.own_environments

Each environment is installed once, below `.bench/environments`. A forest is logged in each, and
loaded there by two workers; written are medians and their range.
"""

import argparse
import asyncio
import functools
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import anyio
import psutil
import structlog
import uvloop

from bench.environment import installed
from bench.page import PERFORMANCE, ranged, replace, table
from service.core.environments import SHARED, Environment
from service.core.versions import ModelVersion, StoredVersion
from service.processes.child_threads import ChildThreads
from service.processes.launch import end_fork_server, fork_server_pid
from service.serving.batching.batcher import BatchSettings
from service.serving.model import LoadedModel, ModelHost
from service.store import manifest
from service.workers.factory import WorkerFactory
from service.workers.pool_settings import PoolSettings, ProcessSettings
from tools.processes import pss_bytes
from tools.saved_forest import saving_command

_MB = 1e6
_OURS = ("mlflow", "scikit-learn", "pandas", "numpy", "skops", "msgspec")
_SMALL = ("mlflow-skinny", "scikit-learn", "pandas", "numpy", "msgspec")
_LIMIT_S = 120.0
FIRST, FURTHER = "first worker stands, s", "a further one, s"
LOADED = "version loaded, s"
SERVER, WORKER, ADDS = "fork server, MB", "a worker, MB", "the environment adds, MB"
_COLUMNS = (FIRST, FURTHER, LOADED, SERVER, WORKER, ADDS)


async def _measured(
    stored: StoredVersion, environment: Environment, folder: Path
) -> dict[str, float]:
    """Start two workers by a fork server that is not there yet, and have them load the version."""
    process = ProcessSettings(folder, {}, _LIMIT_S, 1.0)
    pool = PoolSettings(2, 1, _LIMIT_S, refuse_unknown=False, process=process)
    factory = WorkerFactory(ChildThreads())
    found: dict[str, float] = {}
    async with factory.fork_servers.using(environment, folder):
        for name in (FIRST, FURTHER):
            began = time.monotonic()
            child = await factory.start(name, {}, process, environment)
            found[name] = time.monotonic() - began
            await child.end()
        host = ModelHost(factory, pool, BatchSettings(100, 0.002, _LIMIT_S))
        async with anyio.create_task_group() as tasks:
            began = time.monotonic()
            run = functools.partial(host.run, stored, environment)
            model: LoadedModel = await tasks.start(run)
            found[LOADED] = time.monotonic() - began
            while not model.pool.is_whole:  # noqa: ASYNC110 - nothing is measured meanwhile
                await anyio.sleep(0.05)
            await model.pool.smoke(_LIMIT_S)
            pids = factory.fork_servers.pids or [fork_server_pid() or 0]
            server = pss_bytes(psutil.Process(pids[0]))
            workers = [pss_bytes(psutil.Process(pid)) for pid in model.pool.pids]
            found[SERVER] = server / _MB
            found[WORKER] = sum(workers) / len(workers) / _MB
            found[ADDS] = (server + sum(workers)) / _MB
            model.close()
    return found


def _logged(interpreter: str, folder: Path) -> StoredVersion:
    model = folder / "model"
    command = saving_command(interpreter, model, columns=12, trees=100, requirement="mlflow")
    subprocess.run(command, check=True, capture_output=True)
    content = manifest.build(model)
    manifest.write(folder / manifest.MANIFEST_NAME, content)
    return StoredVersion(ModelVersion("", "forest", "1", "", "", 0), model, content.digest)


def _environments(folder: Path) -> dict[str, Environment]:
    """Return the environments by what they are called, installed where they are not."""
    same = [f"{name}=={version(name)}" for name in _OURS]
    old = ["mlflow==2.22.*", "numpy==1.26.*", "pandas==2.*", "scikit-learn==1.5.*", "msgspec"]
    wanted: dict[str, tuple[str, Sequence[str]]] = {
        "own, the same releases": (sys.executable, same),
        "own, MLflow 2, numpy 1": (sys.executable, old),
        "own, mlflow-skinny": (sys.executable, _SMALL),
    }
    found = {"the service's own": SHARED}
    for name, (python, packages) in wanted.items():
        key = name.replace(",", "").replace(" ", "-")
        place = installed(folder / key, python, "\n".join(packages))
        found[name] = Environment(key, str(place / "bin" / "python"), "")
    return found


def main() -> None:
    """Measure, and write the table where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", type=Path, default=Path(".bench/environments"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    environments = _environments(chosen.environments.resolve())
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in environments}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, environment in environments.items():
            (folder / name).mkdir()
            stored = _logged(environment.interpreter or sys.executable, folder / name)
            for number in range(chosen.rounds):
                end_fork_server()
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    seen = runner.run(_measured(stored, environment, folder))
                for column, value in seen.items():
                    found[name][column].append(value)
                told = ", ".join(f"{column} {value:.3f}" for column, value in seen.items())
                print(f"  {name}, round {number + 1}: {told}", flush=True)
    rows = [[name, *(ranged(seen[column]) for column in _COLUMNS)] for name, seen in found.items()]
    text = table(["environment", *_COLUMNS], rows)
    print(text)
    if chosen.write:
        replace(PERFORMANCE, "environments", text)


if __name__ == "__main__":
    main()
