"""Ask a server by hand: whether it is up, and whether what it answers is right."""

import http.client
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import numpy as np

from bench.dialects import Dialect
from bench.rows import Table
from tools.processes import BrokenError

RTOL = 1e-6
_LIMIT_S = 60.0
# A proxy of this machine's has no business on loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str, dialect: Dialect, body: bytes, limit_s: float = _LIMIT_S) -> bytes:
    """Send one body and return the answer. Raise BrokenError for anything but a 200."""
    headers = _headers(dialect)
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - an address of ours
    try:
        with _DIRECT.open(request, timeout=limit_s) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        said = error.read()[:300].decode("utf-8", "replace")
        raise BrokenError(f"answered {error.code}: {said}") from error
    except (OSError, http.client.HTTPException) as error:
        raise BrokenError(f"gave no answer: {error}") from error


def is_right(url: str, dialect: Dialect, body: bytes, expected: Table) -> bool:
    """Whether it answers, and rightly; 'not yet' is False."""
    try:
        check(url, dialect, body, expected)
    except BrokenError:
        return False
    return True


def check(url: str, dialect: Dialect, body: bytes, expected: Table) -> None:
    """Raise BrokenError where an answer is not what mlflow.pyfunc answers, to 1e-6."""
    answer = ask(url, dialect, body)
    try:
        got = dialect.decode(answer)
    except Exception as error:
        raise BrokenError(f"answered what can't be read: {answer[:200]!r}") from error
    if got.shape != expected.shape or not np.allclose(got, expected, rtol=RTOL, atol=0):
        raise BrokenError(f"answered wrongly: {got.shape} {got[:2].tolist()}")


def timed(url: str, dialect: Dialect, body: bytes, calls: int) -> list[float]:
    """Return the milliseconds of calls one after another, on one connection that stays open."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=_LIMIT_S)
    headers = _headers(dialect)
    took = []
    try:
        for _ in range(calls):
            began = time.perf_counter()
            connection.request("POST", parts.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            took.append((time.perf_counter() - began) * 1000)
            if answer.status != http.client.OK:
                raise BrokenError(f"answered {answer.status}: {content[:300]!r}")
    except (OSError, http.client.HTTPException) as error:
        raise BrokenError(f"gave no answer: {error}") from error
    finally:
        connection.close()
    return took


def warm(url: str, dialect: Dialect, body: bytes, clients: int, for_s: float) -> None:
    """Ask from some threads for a while, whatever is answered."""
    until = time.monotonic() + for_s

    def go_on() -> None:
        while time.monotonic() < until and is_answered(url, dialect, body):
            pass

    threads = [threading.Thread(target=go_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def is_answered(url: str, dialect: Dialect, body: bytes) -> bool:
    """Whether a body gets an answer."""
    try:
        ask(url, dialect, body)
    except BrokenError:
        return False
    return True


def _headers(dialect: Dialect) -> dict[str, str]:
    kind = dialect.content_type
    return {"content-type": kind, "accept": kind, **dict(dialect.headers)}
