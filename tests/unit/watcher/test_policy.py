from typing import Any

import pytest

from service.control.snapshot import Snapshot
from service.watcher.policy import Cancel, Keep, Load, Unload, next_action
from tests.support.fake_source import a_version

V1, V2, V3 = a_version(1), a_version(2), a_version(3)
KEEP = Keep


def a_snapshot(**given: Any) -> Snapshot:
    """Return how things stand; what is not given is nothing."""
    as_usual = {"known": True, "wanted": None, "serving": None, "loading": None}
    return Snapshot(**{**as_usual, **given})


@pytest.mark.parametrize(
    ("now", "action"),
    [
        # Before the first look nothing is known, and nothing done.
        (a_snapshot(known=False), KEEP),
        (a_snapshot(known=False, serving=V1), KEEP),
        # The first promotion, and the next, up or down.
        (a_snapshot(wanted=V1), Load(V1)),
        (a_snapshot(wanted=V2, serving=V1), Load(V2)),
        (a_snapshot(wanted=V1, serving=V2), Load(V1)),
        (a_snapshot(wanted=V1, serving=V1), KEEP),
        # One candidate at a time, the newest change wins.
        (a_snapshot(wanted=V2, serving=V1, loading=V2), KEEP),
        (a_snapshot(wanted=V3, serving=V1, loading=V2), Cancel(V2)),
        (a_snapshot(wanted=V1, serving=V1, loading=V2), Cancel(V2)),
        (a_snapshot(wanted=V3, loading=V2), Cancel(V2)),
        # What was refused stays so; what failed waits for its time.
        (a_snapshot(wanted=V2, serving=V1, refused=frozenset({V2})), KEEP),
        (a_snapshot(wanted=V2, serving=V1, backing_off=frozenset({V2})), KEEP),
        (a_snapshot(wanted=V2, refused=frozenset({V2})), KEEP),
        (a_snapshot(wanted=V3, refused=frozenset({V2}), backing_off=frozenset({V1})), Load(V3)),
        # A version that serves is not judged again.
        (a_snapshot(wanted=V1, serving=V1, refused=frozenset({V1})), KEEP),
        # Nothing is promoted: keep what serves, unless the operator wants otherwise.
        (a_snapshot(serving=V1), KEEP),
        (a_snapshot(), KEEP),
        (a_snapshot(serving=V1, loading=V2), Cancel(V2)),
        (a_snapshot(serving=V1, on_unpromoted="unload"), Unload()),
        (a_snapshot(on_unpromoted="unload"), KEEP),
        (a_snapshot(serving=V1, loading=V2, on_unpromoted="unload"), Cancel(V2)),
        (a_snapshot(known=False, serving=V1, on_unpromoted="unload"), KEEP),
        (a_snapshot(wanted=V2, serving=V1, on_unpromoted="unload"), Load(V2)),
        # Nothing serves, and the registry or its version can't be had: the last known good one.
        (a_snapshot(known=False, unreachable=True, fallback=V1), Load(V1)),
        (a_snapshot(known=False, fallback=V1), KEEP),
        (a_snapshot(known=False, unreachable=True, fallback=V1, serving=V1), KEEP),
        (a_snapshot(known=False, unreachable=True, fallback=V1, loading=V1), KEEP),
        (a_snapshot(wanted=V2, refused=frozenset({V2}), fallback=V1), Load(V1)),
        (a_snapshot(wanted=V2, backing_off=frozenset({V2}), fallback=V1), Load(V1)),
        (a_snapshot(wanted=V2, refused=frozenset({V1, V2}), fallback=V1), KEEP),
        (a_snapshot(wanted=V2, fallback=V1), Load(V2)),
        (a_snapshot(wanted=V2, loading=V1, fallback=V1), KEEP),
        (a_snapshot(wanted=V2, loading=V1, fallback=V1, serving=V3), Cancel(V1)),
        # What serves was refused on probation, and nothing was warm behind it.
        (a_snapshot(wanted=V2, serving=V2, refused=frozenset({V2}), fallback=V1), Load(V1)),
        (a_snapshot(wanted=V2, serving=V1, refused=frozenset({V2}), fallback=V1), KEEP),
        # It is unknown whether a version is pinned: nothing newly promoted, nor nothing at all.
        (a_snapshot(held=True, wanted=V2, fallback=V1), Load(V1)),
        (a_snapshot(held=True, wanted=V2), KEEP),
        (a_snapshot(held=True, wanted=V2, serving=V1), KEEP),
        (a_snapshot(held=True, wanted=V2, loading=V1, fallback=V1), KEEP),
        (a_snapshot(held=True, serving=V1, on_unpromoted="unload"), KEEP),
    ],
)
def test_the_next_action_follows_from_how_things_stand(now: Snapshot, action: Any) -> None:
    """One row, one action; KEEP stands for any reason to keep."""
    decided = next_action(now)
    if action is KEEP:
        assert isinstance(decided, Keep)
        assert decided.reason
    else:
        assert decided == action


def test_a_recreated_version_is_another_one() -> None:
    """Same name and number, made again: it is loaded."""
    again = a_version(1, created_ms=5)
    assert next_action(a_snapshot(wanted=again, serving=V1)) == Load(again)
