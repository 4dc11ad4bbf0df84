"""`hotswap env list` and `hotswap env prune`: the environments that this cache keeps."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec
from anyio import CapacityLimiter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.cache_dir import temp_folder
from service.core.text import NAME_CHARACTERS, presentable
from service.environments.environments import Environments
from service.environments.kept import Kept, KeptEnvironments
from service.environments.variables import builders_variables
from service.processes.child_threads import ChildThreads
from service.settings.service import ServiceSettings
from service.telemetry.logging import configure_logging
from service.watcher.gates.artifacts import readable_size

_THREADS = 1
_COLUMNS = ("Key", "Python", "Made from", "Packages", "Size", "Built", "Last used", "In use")
_NUMBERS = ("Packages", "Size")


class KeptEnvironment(msgspec.Struct, frozen=True):
    """An environment, as it is listed."""

    key: str
    python: str
    found_by: str
    packages: int
    bytes: int
    built: datetime
    last_used: datetime
    in_use: bool
    notes: tuple[str, ...]


class Listed(msgspec.Struct, frozen=True):
    """All of them, the last used first, and what they hold on the disk."""

    environments: list[KeptEnvironment]
    bytes: int
    downloads_bytes: int
    """What uv keeps of what it has downloaded, besides."""


class Pruned(msgspec.Struct, frozen=True):
    """The keys of those that were removed, and what is kept still."""

    removed: list[str]
    kept: Listed


def listed(cache_dir: Path) -> Listed:
    """Return what is kept. Raise EnvironmentNotBuiltError where the disk does not let us."""

    async def known() -> Listed:
        return await _listed(KeptEnvironments(cache_dir, CapacityLimiter(_THREADS)))

    return anyio.run(known)


def pruned(service: ServiceSettings, most_bytes: int) -> Pruned:
    """Remove what no service uses, the least recently used first, until no more is kept.

    Raise EnvironmentNotBuiltError where the disk does not let us.
    """
    configure_logging("error", service.log_format)

    async def prune() -> Pruned:
        temp = temp_folder(service.cache_dir)
        temp.use()
        variables = builders_variables(os.environ)
        environments = Environments(service.cache_dir, temp.path, ChildThreads(), variables)
        await environments.open()
        gone = await environments.prune(most_bytes)
        return Pruned(gone, await _listed(environments.kept))

    return anyio.run(prune)


async def _listed(kept: KeptEnvironments) -> Listed:
    found = [_described(one) for one in await kept.known()]
    downloads = await kept.size(kept.root / ".uv")
    return Listed(found, sum(one.bytes for one in found), downloads)


def as_json(document: Listed | Pruned) -> str:
    """Return a document in ASCII: a name can't speak to a terminal."""
    return json.dumps(msgspec.to_builtins(document), ensure_ascii=True)


def sentence_of(done: Pruned) -> str:
    """Say what was removed."""
    count = len(done.removed)
    return (
        f"{count or 'no'} environment{'' if count == 1 else 's'} removed; kept: "
        f"{len(done.kept.environments)}, {readable_size(done.kept.bytes)}; "
        f"downloads {readable_size(done.kept.downloads_bytes)}"
    )


def show_listed(found: Listed) -> None:
    """Print a table of what is kept."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not found.environments:
        console.print("no environment is kept")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column in _NUMBERS else "left")
    for one in found.environments:
        cells = (
            *(one.key, one.python, one.found_by, str(one.packages), readable_size(one.bytes)),
            *(_day(one.built), _day(one.last_used), "yes" if one.in_use else "no"),
        )
        table.add_row(*(Text(presentable(cell, NAME_CHARACTERS)) for cell in cells))
    console.print(table)
    console.print(
        f"{len(found.environments)} in all, {readable_size(found.bytes)}; "
        f"downloads {readable_size(found.downloads_bytes)}"
    )


def _described(one: Kept) -> KeptEnvironment:
    about = one.about
    return KeptEnvironment(
        key=about.key,
        python=about.python,
        found_by=about.found_by,
        packages=about.packages,
        bytes=about.bytes,
        built=datetime.fromtimestamp(about.built_s, UTC),
        last_used=datetime.fromtimestamp(one.last_used_s, UTC),
        in_use=one.in_use,
        notes=about.notes,
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
