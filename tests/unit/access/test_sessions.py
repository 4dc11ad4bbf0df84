"""How long a session of the page counts, and how many there are."""

import pytest

from service.access import sessions as module
from service.access.sessions import IDLE_S, LONGEST_S, Session, Sessions

KEY, OTHER = b"Bearer one", b"Bearer other"


class Clock:
    """The time that a test says it is."""

    now_s = 1_000.0

    def __call__(self) -> float:
        """Tell it."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


def found(sessions: Sessions, token: str) -> Session:
    """Return the session of a token that has one."""
    session = sessions.find(token)
    assert session is not None
    return session


def test_a_token_leads_to_its_own_key_and_nothing_else_does() -> None:
    """It is random, of 256 bits, and kept as a hash."""
    sessions = Sessions()
    tokens = [sessions.open(KEY), sessions.open(KEY), sessions.open(OTHER)]
    assert len(set(tokens)) == 3
    assert all(len(token) == 43 for token in tokens)
    assert [found(sessions, token).credentials for token in tokens] == [KEY, KEY, OTHER]
    for wrong in ("", tokens[0][:-1], tokens[0] + "A", tokens[0].swapcase(), "x" * 10**6, "\udcff"):
        assert sessions.find(wrong) is None
    held = repr(vars(sessions)) + repr([one.digest for one in sessions._known.values()])
    assert not any(token in held for token in tokens)


def test_a_session_ends_soon_after_its_last_call(clock: Clock) -> None:
    """Each call renews it."""
    sessions = Sessions(clock)
    token = sessions.open(KEY)
    for _ in range(5):
        clock.now_s += IDLE_S - 1
        assert sessions.find(token)
    clock.now_s += IDLE_S
    assert sessions.find(token) is None
    clock.now_s -= IDLE_S
    assert sessions.find(token) is None, "what has ended does not come back"


def test_a_stream_of_events_keeps_its_session_and_ends_with_it(clock: Clock) -> None:
    """However long it is open; once the last one is closed, its time begins."""
    sessions = Sessions(clock)
    token = sessions.open(KEY)
    session = found(sessions, token)
    with sessions.held(session):
        with sessions.held(session):
            clock.now_s += 10 * IDLE_S
            assert sessions.is_open(session)
        clock.now_s += 10 * IDLE_S
        assert sessions.is_open(session)
    clock.now_s += IDLE_S - 1
    assert sessions.find(token) is session
    clock.now_s += IDLE_S
    assert not sessions.is_open(session)
    assert sessions.find(token) is None


def test_no_session_outlasts_a_working_day(clock: Clock) -> None:
    """A page that stays open signs in again."""
    sessions = Sessions(clock)
    token = sessions.open(KEY)
    session = found(sessions, token)
    with sessions.held(session):
        clock.now_s += LONGEST_S
        assert not sessions.is_open(session)
        assert sessions.find(token) is None


def test_a_session_that_was_closed_is_gone() -> None:
    """For streams that hold it as well."""
    sessions = Sessions()
    token = sessions.open(KEY)
    session = found(sessions, token)
    with sessions.held(session):
        sessions.close(session)
        sessions.close(session)
        assert not sessions.is_open(session)
    assert sessions.find(token) is None


def test_sessions_are_bounded_and_no_key_takes_the_place_of_others(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """One key has so many; beyond the bound of all the one that was idle longest goes."""
    sessions = Sessions(clock)
    kept = sessions.open(OTHER)
    tokens = [sessions.open(KEY) for _ in range(module.MOST_OF_A_KEY + 5)]
    assert sessions.find(kept)
    assert [sessions.find(token) is not None for token in tokens] == [
        *[False] * 5,
        *[True] * module.MOST_OF_A_KEY,
    ]
    monkeypatch.setattr(module, "MOST", len(sessions._known))
    with sessions.held(found(sessions, kept)):
        clock.now_s += 1
        for token in tokens[6:]:
            assert sessions.find(token)
        newest = sessions.open(b"Bearer a third one")
        assert len(sessions._known) == module.MOST
        assert sessions.find(tokens[5]) is None
        assert sessions.find(kept)
        assert sessions.find(newest)


def test_what_has_ended_takes_no_room(clock: Clock) -> None:
    """It is forgotten when the next one begins."""
    sessions = Sessions(clock)
    for _ in range(3):
        sessions.open(KEY)
    clock.now_s += IDLE_S
    sessions.open(OTHER)
    assert len(sessions._known) == 1
