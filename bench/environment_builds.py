"""How long a version's environment takes to be built: with nothing in uv's cache, and with all.

    python -m bench.environment_builds [--rounds 3] [--write]

Each round has an empty CACHE_DIR. An environment is built there for each set of releases, then
removed, and built again from the wheels that uv has kept; last it is only looked at, which is what
the next version with the same lock waits for. Nothing else runs meanwhile.
"""

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import structlog
import uvloop

from bench.page import PERFORMANCE, ranged, replace, table
from service.core.environments import BuildReport, EnvironmentSettings
from service.core.versions import ModelVersion, StoredVersion
from service.environments.environments import Environments
from service.environments.variables import builders_variables
from service.processes.child_threads import ChildThreads
from service.processes.launch import end_fork_server
from service.store import manifest
from service.store.files import remove

RELEASES = {
    "scikit-learn 1.5.2, pandas 2.2.3, numpy 1.26.4": (
        "scikit-learn==1.5.2",
        "pandas==2.2.3",
        "numpy==1.26.4",
        "scipy==1.14.1",
        "mlflow-skinny",
    ),
    "MLflow 3, scikit-learn, pandas": ("mlflow", "scikit-learn", "pandas", "skops"),
}
OWN = EnvironmentSettings(mode="own", timeout_s=900.0)
COLD, CACHED, THERE = "nothing cached", "wheels cached", "it is there"
_COLUMNS = ("whole, s", "download, s", "install, s", "downloaded, MB", "packages", "on disk, MB")
_MB = 1e6


def _stored(folder: Path, requirements: Iterable[str]) -> StoredVersion:
    """Return a version that names these requirements, and has nothing else."""
    model = folder / "model"
    model.mkdir(parents=True)
    python = platform.python_version()
    (model / "MLmodel").write_text(
        f"flavors:\n  python_function:\n    loader_module: none\n    python_version: {python}\n"
    )
    (model / "requirements.txt").write_text("\n".join(requirements))
    content = manifest.build(model)
    manifest.write(folder / manifest.MANIFEST_NAME, content)
    created_ms = int(time.time() * 1000)
    return StoredVersion(ModelVersion("", "m", "1", "", "", created_ms), model, content.digest)


async def _seen(environments: Environments, stored: StoredVersion) -> BuildReport:
    held = await environments.ensure(stored, OWN, lambda _: None)
    await held.release()
    return held.report


async def _round(folder: Path) -> dict[tuple[str, str], BuildReport]:
    found: dict[tuple[str, str], BuildReport] = {}
    cache_dir, temp_dir = folder / "cache", folder / "temp"
    temp_dir.mkdir()
    environments = Environments(cache_dir, temp_dir, ChildThreads(), builders_variables(os.environ))
    await environments.open()
    try:
        for number, (name, requirements) in enumerate(RELEASES.items()):
            stored = _stored(folder / str(number), requirements)
            found[name, COLD] = await _seen(environments, stored)
            for kept in await environments.kept.known():
                remove(kept.folder)
            found[name, CACHED] = await _seen(environments, stored)
            found[name, THERE] = await _seen(environments, stored)
    finally:
        await environments.close()
        end_fork_server()
    return found


def _figures(report: BuildReport) -> tuple[float, ...]:
    return (
        report.seconds,
        report.download_s,
        report.install_s,
        report.downloaded_bytes / _MB,
        report.packages,
        report.bytes / _MB,
    )


def _ranged(column: Iterable[float]) -> str:
    return ranged(list(column))


def main() -> None:
    """Measure, and write the table where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    found: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    for number in range(chosen.rounds):
        with (
            tempfile.TemporaryDirectory() as folder,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            for case, report in runner.run(_round(Path(folder))).items():
                found[case].append(_figures(report))
                print(f"  round {number + 1}: {', '.join(case)}: {found[case][-1]}", flush=True)
    rows = []
    for case, seen in found.items():
        *first, packages, disk_mb = zip(*seen, strict=True)
        rows.append([*case, *map(_ranged, first), str(packages[0]), _ranged(disk_mb)])
    text = table(["releases", "", *_COLUMNS], rows)
    print(text)
    if chosen.write:
        replace(PERFORMANCE, "builds", text)


if __name__ == "__main__":
    main()
