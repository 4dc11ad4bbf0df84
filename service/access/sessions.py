"""Sessions of the page: each stands for a key that was entered there, as a browser can't send one.

A browser sends `Authorization` neither for a page nor for its stream of events. What it sends by
itself is a cookie with a random token, which is kept here as a hash, beside the key that it stands
for. Whether that key is good is asked of the gate at each call: a session has no rights of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from secrets import token_urlsafe
from time import monotonic

IDLE_S = 120.0
"""A session ends this time after its last call, or after its last stream of events has ended."""
LONGEST_S = 12 * 3_600.0
"""A session ends then, even if its page is still open."""
MOST = 256
"""There are at most this many sessions; another one ends the one that was idle longest."""
MOST_OF_A_KEY = 16
"""One key has at most this many sessions; another one ends its oldest."""
_RANDOM_BYTES = 32
_LONGEST_TOKEN = 64
"""No token of ours is longer; a longer one is not hashed."""


class Session:
    """One sign-in: `credentials` are what the gate is asked with, as `Authorization` has them."""

    __slots__ = ("credentials", "digest", "ends_s", "streams", "used_s")

    def __init__(self, credentials: bytes, digest: bytes, now_s: float) -> None:
        self.credentials = credentials
        self.digest = digest
        self.used_s = now_s
        self.ends_s = now_s + LONGEST_S
        self.streams = 0
        """Streams of events that are open now: they keep it."""

    def is_over(self, now_s: float) -> bool:
        """Tell whether it counts no more."""
        return now_s >= self.ends_s or (not self.streams and now_s - self.used_s >= IDLE_S)


class Sessions:
    """All of them, in memory alone: they end with the server process."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._known: dict[bytes, Session] = {}
        """By the digests of their tokens, the oldest first."""

    def open(self, credentials: bytes) -> str:
        """Begin one for a key that the gate knows, and return its token."""
        now_s = self._clock()
        for over in [one for one in self._known.values() if one.is_over(now_s)]:
            self.close(over)
        own = [one for one in self._known.values() if one.credentials == credentials]
        if len(own) >= MOST_OF_A_KEY:
            self.close(own[0])
        elif len(self._known) >= MOST:
            self.close(min(self._known.values(), key=lambda one: (one.streams, one.used_s)))
        token = token_urlsafe(_RANDOM_BYTES)
        session = Session(credentials, _digest_of(token), now_s)
        self._known[session.digest] = session
        return token

    def find(self, token: str) -> Session | None:
        """Return the session of a token, whose time begins anew; None where there is none.

        It is looked up by its digest: how long that takes tells nothing of any token.
        """
        if len(token) > _LONGEST_TOKEN:
            return None
        session = self._known.get(_digest_of(token))
        return session if session is not None and self._renewed(session) else None

    def close(self, session: Session) -> None:
        """End one; it may have ended."""
        self._known.pop(session.digest, None)

    def is_open(self, session: Session) -> bool:
        """Tell whether one has not ended, for a stream that holds it."""
        if session.is_over(self._clock()):
            self.close(session)
        return session.digest in self._known

    @contextmanager
    def held(self, session: Session) -> Iterator[None]:
        """Keep one meanwhile, for as long as a stream of events is open."""
        session.streams += 1
        try:
            yield
        finally:
            session.streams -= 1
            session.used_s = self._clock()

    def _renewed(self, session: Session) -> bool:
        now_s = self._clock()
        if session.is_over(now_s):
            self.close(session)
            return False
        session.used_s = now_s
        return True


def _digest_of(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
