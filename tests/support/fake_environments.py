"""Environments that are nowhere, and are built as they are told.

The suite in tests/integration/test_environment_contract.py holds them to what the real ones do.
"""

import anyio
import msgspec

from service.core.environments import (
    SHARED,
    BuildProgress,
    BuildReport,
    Environment,
    EnvironmentSettings,
)
from service.core.versions import StoredVersion
from service.environments.environment_store import OnProgress

OWN = EnvironmentSettings(mode="own")
REPORT = BuildReport(
    found_by="requirements.txt",
    lock_digest="0" * 64,
    packages=3,
    seconds=2.0,
    download_s=1.0,
    install_s=0.5,
    downloaded_bytes=4_000_000,
    bytes=9_000_000,
)


class BuildFate(msgspec.Struct):
    """What happens to a version's environment: how long it takes, and what each try raises."""

    build_s: float = 2.0
    errors: list[Exception] = msgspec.field(default_factory=list)
    """Raised by one try each, the first one first."""
    is_shared: bool = False
    was_there: bool = False


class FakeHeldEnvironment:
    """A mark without a lock."""

    def __init__(
        self, environment: Environment, report: BuildReport, store: "FakeEnvironments"
    ) -> None:
        self.environment = environment
        self.report = report
        self._fake_store = store

    async def release(self) -> None:
        """Take the mark away."""
        self._fake_store.marks.discard(self)


class FakeEnvironments:
    """Environments without files; `marks` are those in use."""

    def __init__(self) -> None:
        self.by_number: dict[str, BuildFate] = {}
        self.asked: list[str] = []
        """The numbers of the versions that were asked for, in order."""
        self.building: list[str] = []
        self.pruned: list[int] = []
        self.marks: set[FakeHeldEnvironment] = set()

    async def ensure(
        self, stored: StoredVersion, wanted: EnvironmentSettings, progress: OnProgress
    ) -> FakeHeldEnvironment:
        """Take the time that building takes."""
        number = stored.version.version
        fate = self.by_number.get(number, BuildFate())
        self.asked.append(number)
        environment, report = Environment(f"key-{number}", "/nowhere/python", "3.12.1"), REPORT
        if fate.is_shared and wanted.mode == "auto":
            environment, report = SHARED, BuildReport()
        elif fate.was_there:
            report = msgspec.structs.replace(REPORT, was_there=True)
        else:
            await self._build(number, fate, progress)
        held = FakeHeldEnvironment(environment, report, self)
        self.marks.add(held)
        return held

    async def prune(self, most_bytes: int) -> list[str]:
        """Remove nothing, and count."""
        self.pruned.append(most_bytes)
        return []

    async def _build(self, number: str, fate: BuildFate, progress: OnProgress) -> None:
        self.building.append(number)
        try:
            progress(BuildProgress("resolve"))
            await anyio.sleep(fate.build_s / 2)
            progress(BuildProgress("download", "numpy 2.3.1", 3, 1, 1_000_000))
            await anyio.sleep(fate.build_s / 2)
            if fate.errors:
                raise fate.errors.pop(0)
        finally:
            self.building.remove(number)
