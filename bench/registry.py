"""What followed pointers cost the MLflow server: by looks at each, and by one look at all.

    python -m bench.registry

A real server on SQLite with a thousand other registered models beside those that are followed, a
hundred of which have 200 versions. CPU seconds are of the server's processes.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.to_thread

from bench.page import table
from service.core.versions import ModelRef
from service.registry.group_look import GroupLook
from service.registry.messages import ResolveReply, ResolveRequest, SearchReply, SearchRequest
from tools import mlflow_server
from tools.mlflow_server import MlflowServer
from tools.processes import ProcessTree

FOLLOWED = 50
_VERSIONS = 20
_OTHERS = 1_000
_LONG = 100
_LONG_VERSIONS = 200
_SHORT_VERSIONS = 3
_COUNTS = (1, 5, FOLLOWED)
_ROUNDS = 5
_LOOKS = 10
_TIMEOUT_S = 10.0
_POLL_S = 2.0


class Cost(NamedTuple):
    """What looks at some pointers cost, once for each: the server's CPU, and the time they take."""

    cpu_ms: list[float]
    wall_ms: list[float]


def main() -> None:
    """Measure, and print the table."""
    rows: list[list[str]] = []
    for staged in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            server = mlflow_server.start(Path(folder))
            try:
                _fill(server, staged=staged)
                rows.extend(_rows(server, "in four stages" if staged else "by aliases alone"))
            finally:
                server.stop()
    head = ["versions stand", "pointers", "looks", "server CPU, ms", "takes, ms", "CPU at 2 s, %"]
    sys.stdout.write(table(head, rows) + "\n")


def _rows(server: MlflowServer, title: str) -> Iterator[list[str]]:
    with server.active():
        from service.registry.inside.resolving import resolve  # noqa: PLC0415 - imports MLflow
        from service.registry.inside.searching import Searches  # noqa: PLC0415 - the same

        searches = Searches(resolve)
        ways = {"each": _each(resolve), "together": _together(searches)}
        tree = ProcessTree(server.process.pid)
        for count in _COUNTS:
            refs = [ModelRef.for_alias(_name(number), "champion") for number in range(count)]
            for way, look in ways.items():
                cost = _measure(tree, look, refs)
                load = statistics.median(cost.cpu_ms) / 10 / _POLL_S
                spent = (_spread(cost.cpu_ms), _spread(cost.wall_ms), f"{load:.2f}")
                yield [title, str(count), way, *spent]
                sys.stdout.write(f"  {title}, {count}, {way}: {spent}\n")


def _each(resolve: Callable[[ResolveRequest], ResolveReply]) -> Callable[[list[ModelRef]], None]:
    def look(refs: list[ModelRef]) -> None:
        for ref in refs:
            assert resolve(ResolveRequest(ref)).version is not None  # noqa: S101 - a measurement

    return look


def _together(searches: Any) -> Callable[[list[ModelRef]], None]:
    """Return what looks as the service does."""

    async def ask(request: ResolveRequest) -> ResolveReply:
        return await anyio.to_thread.run_sync(searches.resolve, request)

    async def search(request: SearchRequest) -> SearchReply:
        return await anyio.to_thread.run_sync(searches.search, request)

    async def all_of(refs: list[ModelRef]) -> None:
        group = GroupLook(ask, search, _TIMEOUT_S)
        async with anyio.create_task_group() as tasks:
            async with anyio.create_task_group() as callers:
                for ref in refs:
                    callers.start_soon(group.resolve, ResolveRequest(ref))
                await anyio.lowlevel.checkpoint()
                tasks.start_soon(group.run)
            tasks.cancel_scope.cancel()

    return lambda refs: anyio.run(all_of, refs)


def _measure(
    tree: ProcessTree, look: Callable[[list[ModelRef]], None], refs: list[ModelRef]
) -> Cost:
    look(refs)
    cost = Cost([], [])
    for _ in range(_ROUNDS):
        cpu_s, began_s = tree.cpu_s(), time.perf_counter()
        for _ in range(_LOOKS):
            look(refs)
        cost.wall_ms.append((time.perf_counter() - began_s) / _LOOKS * 1000)
        cost.cpu_ms.append((tree.cpu_s() - cpu_s) / _LOOKS * 1000)
    return cost


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _name(number: int) -> str:
    return f"forecast-{number:03d}"


def _fill(server: MlflowServer, *, staged: bool) -> None:
    """Write models into the server's database, as MLflow's own store would, but all together."""
    import sqlalchemy  # noqa: PLC0415 - slow, as MLflow is
    from mlflow.store.model_registry.dbmodels import models  # noqa: PLC0415 - the same

    counts = {f"other-{number:04d}": _SHORT_VERSIONS for number in range(_OTHERS)}
    counts |= {f"other-{number:04d}": _LONG_VERSIONS for number in range(_LONG)}
    counts |= {_name(number): _VERSIONS for number in range(FOLLOWED)}
    now_ms = int(time.time() * 1000)
    common = {"workspace": "default", "creation_time": now_ms, "last_updated_time": now_ms}
    versions = [
        {
            **common,
            "name": name,
            "version": number,
            "description": "",
            "user_id": "somebody",
            "current_stage": _stage(number, count) if staged else "None",
            "source": "models:/m-0123456789abcdef0123456789abcdef",
            "storage_location": "mlflow-artifacts:/1/models/m-0123456789abcdef/artifacts",
            "run_id": "0123456789abcdef0123456789abcdef",
            "run_link": "",
            "status": "READY",
            "status_message": "",
        }
        for name, count in counts.items()
        for number in range(1, count + 1)
    ]
    tags = [
        {"workspace": "default", "name": each["name"], "version": each["version"], "key": key}
        | {"value": "serving"}
        for each in versions
        for key in ("hotswap.status", "hotswap.since")
    ]
    aliases = [
        {"workspace": "default", "name": name, "alias": "champion", "version": count - 1}
        for name, count in counts.items()
    ]
    engine = sqlalchemy.create_engine(f"sqlite:///{server.folder / 'mlflow.db'}")
    with engine.begin() as connection:
        for kind, rows in (
            (models.SqlRegisteredModel, [{**common, "name": name} for name in counts]),
            (models.SqlModelVersion, versions),
            (models.SqlModelVersionTag, tags),
            (models.SqlRegisteredModelAlias, aliases),
        ):
            connection.execute(sqlalchemy.insert(kind), rows)
    engine.dispose()


def _stage(number: int, count: int) -> str:
    """Return the stage of a version: the last ones have one each, those before are archived."""
    return {count: "None", count - 1: "Staging", count - 2: "Production"}.get(number, "Archived")


if __name__ == "__main__":
    main()
