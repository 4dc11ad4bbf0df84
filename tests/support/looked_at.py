"""A deployment without processes, as far as the page looks at it."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from service.control.journal import MemoryJournal
from service.control.lifecycle import VersionStatus
from service.control.status import RegistryLook, Status
from service.core.states import State
from service.core.versions import ModelRef, ModelVersion
from service.deployment import Deployment
from service.registry.address import RegistryAddress
from service.serving.model import LoadedModel
from service.serving.routes import Routes

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UNKNOWN = Status(
    registry=RegistryLook(),
    pin=None,
    held="",
    refused={},
    versions=(),
    troubles=(),
    passes_failed=0,
)


class LookedAt(Deployment):
    """It stands as it is told: `now` is its status, and `journal` takes promotions."""

    def __init__(self, name: str, model: LoadedModel | None = None) -> None:
        self.name = name
        self.ref = ModelRef.for_alias("m", "champion")
        self.label = self.ref.label
        self.address = RegistryAddress("http://user:secret@mlflow:5000/", "", "", 5.0)
        self.routes = Routes()
        if model is not None:
            self.routes.swap(model)
        self.change = ""
        self.memory = MemoryJournal()
        self.journal = self.memory
        self.now = UNKNOWN
        self.settings: Any = _Settings()

    @property
    def status(self) -> Status:
        """The status that it was given."""
        return self.now

    def look(self, **changes: Any) -> None:
        """Have it stand otherwise from here on; `promoted`, `seen_at` and `error` are a look's."""
        of_look = {
            name: changes.pop(name)
            for name in ("promoted", "seen_at", "seen_s", "error")
            if name in changes
        }
        registry = msgspec.structs.replace(self.now.registry, **of_look)
        self.now = msgspec.structs.replace(self.now, registry=registry, **changes)

    def has(self, version: ModelVersion, state: State, reason: str = "") -> None:
        """Have a version in this state, and no other one."""
        self.look(versions=(VersionStatus(version, state, NOW, reason),))


class _Settings:
    reported_name = ""
