"""`WORKER_LIMITS`, as it is written."""

from msgspec.structs import replace

from service.confinement import why_not
from service.core.worker_limits import NO_LIMITS, WorkerLimits
from service.settings.errors import SettingsError
from service.settings.texts import shown_setting
from service.settings.written import read_int, without_unit

_NAME = "worker_limits"
_LEAST_MEMORY, _MOST_MEMORY = 256 * 2**20, 2**50
_LEAST_FILES, _MOST_FILES = 64, 2**20
_ALLOWED = (
    "a list of memory=SIZE (256MiB or more), files=NUMBER (64 or more), no_new_privileges and "
    "no_network, separated by commas, each once"
)


def read_worker_limits(text: str) -> WorkerLimits:
    """Return the limits that a text such as `memory=2GiB,files=256,no_network` says.

    Raises:
        SettingsError: it can't be read so, or this system does not have one of the limits: what
            limits nothing must not look as if it did.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    limits = NO_LIMITS
    seen: set[str] = set()
    for word in words:
        key, _, value = (part.strip() for part in word.partition("="))
        found = _with(limits, key, value) if key not in seen else None
        if found is None:
            raise SettingsError(f"{shown_setting(_NAME, text)} is wrong: allowed is {_ALLOWED}")
        limits = found
        seen.add(key)
    if reason := why_not(limits):
        raise SettingsError(f"{shown_setting(_NAME, text)} can't be kept here: {reason}")
    return limits


def _with(limits: WorkerLimits, key: str, value: str) -> WorkerLimits | None:
    """Return the limits with one more; None for what is none."""
    match key:
        case "no_new_privileges" if not value:
            return replace(limits, no_new_privileges=True)
        case "no_network" if not value:
            return replace(limits, no_network=True)
        case "memory":
            number = read_int(without_unit("memory_bytes", value))
            if number is not None and _LEAST_MEMORY <= number <= _MOST_MEMORY:
                return replace(limits, memory_bytes=number)
        case "files":
            number = read_int(value)
            if number is not None and _LEAST_FILES <= number <= _MOST_FILES:
                return replace(limits, files=number)
    return None
