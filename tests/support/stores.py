"""A store over a fetch that writes a tiny model."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from service.core.versions import ModelVersion
from service.store.artifact_store import ArtifactStore

Fetch = Callable[[ModelVersion, Path], Awaitable[Path]]


class Fetcher:
    """Write a tiny model, and count how often."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.reached = anyio.Event()
        self.go_on: anyio.Event | None = None

    async def __call__(self, version: ModelVersion, folder: Path) -> Path:
        """Fetch, and wait for `go_on` where there is one."""
        self.fetched.append(version.version)
        (folder / "MLmodel").write_text(f"version: {version.version}")
        (folder / "code").mkdir()
        (folder / "code" / "m.py").write_text("x = 1")
        self.reached.set()
        if self.go_on is not None:
            await self.go_on.wait()
        return folder


async def open_store(cache_dir: Path, fetch: Fetch, keep: int = 3) -> ArtifactStore:
    """Give a store as a service's start does."""
    store = ArtifactStore(cache_dir, keep, fetch)
    await store.open()
    return store


def left_behind(store: ArtifactStore) -> list[str]:
    """Return what lies in tmp."""
    return [item.name for item in (store.cache_dir / "tmp").iterdir()]
