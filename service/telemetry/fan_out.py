"""Tells several observers, of which none can break what is observed or keep it from the others."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import structlog

from service.telemetry.observer import EVENTS, NULL_OBSERVER, NullObserver, Observer

_log = structlog.get_logger("observers")


def fan_out(observers: Sequence[Observer]) -> Observer:
    """Return an observer that tells these, in their order.

    One that raises is logged the first time, and goes on to be told. An event that an observer
    leaves to `NullObserver` costs no call, and one that all of them leave to it only its own.
    """
    broken: set[int] = set()
    return cast("Observer", SimpleNamespace(**{e: _teller(observers, e, broken) for e in EVENTS}))


def _teller(observers: Sequence[Observer], event: str, broken: set[int]) -> Callable[..., None]:
    """Return what tells one event. `broken` are the observers that have raised, by identity."""
    nothing = getattr(NullObserver, event)
    listeners = [
        (observer, getattr(observer, event))
        for observer in observers
        if getattr(type(observer), event, None) is not nothing
    ]
    if not listeners:
        unheard: Callable[..., None] = getattr(NULL_OBSERVER, event)
        return unheard

    def tell(*told: object) -> None:
        for observer, listen in listeners:
            try:
                listen(*told)
            except Exception:  # noqa: BLE001 - a crash barrier: it is worth no request
                if id(observer) not in broken:
                    broken.add(id(observer))
                    _log.exception("observer raised", observer=type(observer).__name__, told=event)

    return tell
