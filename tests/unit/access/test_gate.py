"""Who is let in, by which key, and what becomes of callers that nobody knows."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic, time

import anyio
import pytest

from service.access import failed_attempts
from service.access.admin_token import AdminToken
from service.access.gate import Gate
from service.access.principal import EVERYONE, NOBODY, Permission, Principal, Scope
from service.core.errors import PermissionDeniedError, UnauthorizedError, UnknownKeyError
from tests.support.waiting import until

APP = Principal(name="app", scopes=frozenset({Scope.PREDICT}))
SEES = Principal(name="sees", scopes=frozenset({Scope.READ}))
OPS = Principal(name="ops", scopes=frozenset({Scope.ADMIN}))


class Source:
    """Knows what a test tells it, and counts how often it is asked."""

    trouble = ""

    def __init__(self, **bearers: Principal) -> None:
        self.bearers = dict(bearers)
        self.asked = 0
        self.forget: Callable[[], None] = lambda: None

    async def principal_of(self, token: str) -> Principal | None:
        """Return what the test said."""
        self.asked += 1
        return self.bearers.get(token)

    @asynccontextmanager
    async def running(self, forget: Callable[[], None]) -> AsyncIterator[None]:
        """Keep what tells the gate."""
        self.forget = forget
        yield


@pytest.fixture(autouse=True)
def short_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a failed attempt wait for a moment only, where the wait is not what is tested."""
    monkeypatch.setattr(failed_attempts, "DELAY_S", 0.001)


def bearing(token: str) -> list[bytes]:
    """Return what a caller with this token sends."""
    return [f"Bearer {token}".encode()]


@pytest.mark.parametrize(
    ("principal", "permissions"),
    [
        (NOBODY, {"open", "health"}),
        (APP, {"open", "health", "any", "predict"}),
        (SEES, {"open", "health", "any", "read"}),
        (OPS, set(Permission)),
        (EVERYONE, set(Permission)),
    ],
)
def test_what_each_scope_permits(principal: Principal, permissions: set[str]) -> None:
    """The scope `admin` has the others; the others do without each other."""
    assert {one for one in Permission if principal.may(one)} == permissions


async def test_each_call_gets_the_bearer_that_it_wants() -> None:
    """None is 401, one without the scope is 403, in words that name a scope that would do."""
    gate = Gate([Source(a=APP), Source(o=OPS)], wants_keys=True)
    assert await gate.admit(bearing("a"), Permission.PREDICT) == APP
    assert await gate.admit(bearing("o"), Permission.PREDICT) == OPS
    assert await gate.admit([], Permission.OPEN) == NOBODY
    assert await gate.admit([], Permission.HEALTH) == NOBODY
    assert await gate.admit(bearing("a"), Permission.HEALTH) == APP
    for permission in (Permission.ANY, Permission.PREDICT, Permission.READ, Permission.ADMIN):
        with pytest.raises(UnauthorizedError, match="a key is wanted"):
            await gate.admit([], permission)
    with pytest.raises(PermissionDeniedError) as denied:
        await gate.admit(bearing("a"), Permission.READ)
    assert str(denied.value) == ("the key 'app' has no scope for this call: it wants admin or read")
    assert denied.value.scope == "read"


async def test_without_a_source_of_keys_nothing_but_changes_wants_one() -> None:
    """A header that means something elsewhere neither hinders nor delays a caller."""
    gate = Gate([AdminToken("t")], wants_keys=False)
    began_s = monotonic()
    for permission in (Permission.OPEN, Permission.HEALTH, Permission.PREDICT, Permission.READ):
        assert await gate.admit(bearing("for somebody else"), permission) is EVERYONE
    assert monotonic() - began_s < 0.2
    with pytest.raises(UnauthorizedError):
        await gate.admit([], Permission.ADMIN)
    assert (await gate.admit(bearing("t"), Permission.ADMIN)).name == "ADMIN_TOKEN"


@pytest.mark.parametrize(
    "given",
    [
        [b"Bearer other"],
        [b"Bearer a", b"Bearer a"],
        [b"Bearer a", b"Bearer other"],
        [b"a"],
        [b"Basic a"],
        [b"Bearer"],
        [b"Bearer "],
        [b"Bearer a b"],
        [b"Bearer a\x00"],
        [b"Bearer \xffa"],
        [b"Bearer a,"],
        [b"Bearer a" + b"a" * 20_000],
        [b""],
    ],
)
async def test_what_is_no_key_is_refused_in_the_same_words(given: list[bytes]) -> None:
    """Whatever is wrong with it: nobody learns which part of it was right."""
    gate = Gate([Source(a=APP)], wants_keys=True)
    await gate.admit(bearing("a"), Permission.PREDICT)
    with pytest.raises(UnknownKeyError) as refused:
        await gate.admit(given, Permission.PREDICT)
    assert str(refused.value) == (
        "what is sent in 'Authorization' is no key of this service: "
        "send a key as 'Authorization: Bearer ...'"
    )


async def test_a_scheme_has_any_case_and_any_spaces() -> None:
    """As RFC 9110 has it; a token has one."""
    gate = Gate([Source(a=APP)], wants_keys=True)
    for given in (b"bearer a", b"BEARER   a", b"Bearer a "):
        assert await gate.admit([given], Permission.PREDICT) == APP
    with pytest.raises(UnknownKeyError):
        await gate.admit(bearing("A"), Permission.PREDICT)


async def test_a_bearer_is_remembered_until_its_source_changes() -> None:
    """What is known costs no second question; what is not is asked again each time."""
    source = Source(a=APP)
    gate = Gate([source], wants_keys=True)
    async with gate.running():
        header = bearing("a")[0]
        assert gate.known(header) is None
        for _ in range(3):
            await gate.admit([header], Permission.PREDICT)
        assert (source.asked, gate.known(header)) == (1, APP)
        source.bearers.clear()
        source.forget()
        assert gate.known(header) is None
        with pytest.raises(UnknownKeyError):
            await gate.admit([header], Permission.PREDICT)
        assert gate.known(header) is None
        assert gate.known(None) is None


async def test_what_a_source_says_while_it_changes_is_not_remembered() -> None:
    """It may have been revoked in between."""
    source = Source(a=APP)
    gate = Gate([source], wants_keys=True)

    async def changing(_: str) -> Principal:
        gate.forget()
        return APP

    source.principal_of = changing  # type: ignore[method-assign,assignment]
    assert await gate.admit(bearing("a"), Permission.PREDICT) == APP
    assert gate.known(bearing("a")[0]) is None


async def test_a_token_counts_until_it_expires() -> None:
    """Also one that is remembered."""
    soon = Principal(name="t", scopes=frozenset({Scope.READ}), expires_at=time() + 0.05)
    past = Principal(name="t", scopes=frozenset({Scope.READ}), expires_at=time() - 1)
    gate = Gate([Source(soon=soon, past=past)], wants_keys=True)
    assert await gate.admit(bearing("soon"), Permission.READ) == soon
    await until(lambda: gate.known(bearing("soon")[0]) is None, 5)
    for token in ("soon", "past"):
        with pytest.raises(UnknownKeyError):
            await gate.admit(bearing(token), Permission.READ)


async def test_remembered_bearers_are_bounded() -> None:
    """The oldest goes; a flood of wrong keys leaves nothing behind."""

    class Anyone(Source):
        async def principal_of(self, token: str) -> Principal | None:
            return APP if token.startswith("right") else None

    gate = Gate([Anyone()], wants_keys=True)
    for number in range(1_030):
        await gate.admit(bearing(f"right{number}"), Permission.PREDICT)
    assert len(gate._known) == 1_024
    assert gate.known(bearing("right0")[0]) is None
    assert gate.known(bearing("right1029")[0]) == APP


async def test_a_failed_attempt_waits_and_a_flood_of_them_delays_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So many wait together and no more; a known key never waits, and neither does no key."""
    monkeypatch.setattr(failed_attempts, "DELAY_S", 0.3)
    gate = Gate([Source(a=APP)], wants_keys=True)
    ended: list[float] = []
    began_s = monotonic()

    async def guess(number: int) -> None:
        with pytest.raises(UnknownKeyError):
            await gate.admit(bearing(f"guess{number}"), Permission.PREDICT)
        ended.append(monotonic() - began_s)

    async with anyio.create_task_group() as flood:
        for number in range(1_000):
            flood.start_soon(guess, number)
        await anyio.wait_all_tasks_blocked()
        assert gate._failed._delayed == 256
        assert await gate.admit(bearing("a"), Permission.PREDICT) == APP
        with pytest.raises(UnauthorizedError):
            await gate.admit([], Permission.PREDICT)
        assert len(ended) == 1_000 - 256
    assert sum(took_s >= 0.3 for took_s in ended) >= 256
    assert gate._failed._delayed == 0


async def test_the_log_counts_failed_attempts_and_has_no_line_for_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It never shows what was sent."""
    gate = Gate([], wants_keys=True)
    async with anyio.create_task_group() as flood:
        for _ in range(50):
            flood.start_soon(gate.recognized, bearing("geheim"))
    told = capsys.readouterr()
    assert (told.out + told.err).count("unknown key") == 1
    assert "geheim" not in told.out + told.err
