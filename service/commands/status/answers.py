"""What is read of a service's answers; whatever else is in them is passed over."""

from datetime import datetime

import msgspec


class Health(msgspec.Struct, frozen=True):
    """What is read of `/health`."""

    status: str
    error: str | None = None
    degraded: str | None = None


class Listed(msgspec.Struct, frozen=True):
    """What is read of each model in `/models`."""

    name: str
    model_name: str
    model_stage: str
    status: str
    error: str | None = None
    degraded: str | None = None


class Models(msgspec.Struct, frozen=True):
    """What is read of `/models`."""

    default: str | None
    models: list[Listed]


class _Named(msgspec.Struct, frozen=True):
    version: str


class _Pool(msgspec.Struct, frozen=True):
    workers: int
    alive: int


class _Serving(msgspec.Struct, frozen=True):
    version: str
    since: datetime | None
    answered: int
    failed: int
    pool: _Pool


class _Registry(msgspec.Struct, frozen=True):
    promoted_version: str | None
    age_s: float | None
    error: str | None


class _Version(msgspec.Struct, frozen=True):
    version: str
    state: str
    reason: str | None = None


class Info(msgspec.Struct, frozen=True):
    """What is read of `/models/NAME/info`."""

    pin: _Named | None
    serving: _Serving | None
    registry: _Registry
    versions: list[_Version]
