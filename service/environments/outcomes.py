"""What it means that uv has failed: another try may mend it, or nothing but another version will.

uv ends with 1 where what it was asked for can't be had, and with 2 where it met an error.
"""

import re

from service.core.errors import EnvironmentNotBuiltError, EnvironmentRefusedError
from service.core.machine_troubles import is_transient
from service.core.text import LISTED_CHARACTERS, presentable, quoting
from service.environments.program import Ended

MOST_LINES = 10
"""At most this many of uv's lines are quoted."""
_CANT_BE_HAD = 1
_SIGKILL = 9

_UNANSWERED = re.compile(
    r"Request failed after|error sending request|tcp connect error|dns error|timed out|"
    r"Connection (?:refused|reset)|connection closed|error decoding response body|"
    r"unexpected (?:EOF|end of file)|incomplete message|tls handshake|invalid peer certificate|"
    r"HTTP status server error|authentication credentials|Failed to extract archive|"
    r"\b(?:401 Unauthorized|403 Forbidden|407 Proxy|408 Request|429 Too Many)",
    re.IGNORECASE,
)
"""An index gave no answer, half of one, or none for the credentials that it got."""
_FINAL = re.compile(
    r"Hash mismatch|HTTP status client error|No solution found|yanked|incompatible with|"
    r"no (?:usable|compatible) wheels|has no wheels|is disabled|needs to be updated|Invalid |"
    r"not a valid|Failed to (?:parse|build)|does not match|missing a hash|to have hashes",
    re.IGNORECASE,
)
"""What uv ends with 2 for, and would end with again."""
_YANKED = re.compile(r"warning: (.{1,500}\bis yanked\b.*)")
_NOISE = re.compile(
    r"\s*(?:Resolved|Prepared|Installed|Uninstalled|Downloading|Downloaded|Building|Built|"
    r"Using|Creating|Activate|Audited|Updated)\b|\s*[+~-] \S+(?:==| @)|\s*$"
)


def error_of(what: str, ended: Ended) -> EnvironmentNotBuiltError | EnvironmentRefusedError:
    """Return the error for a uv that has failed: `what` says in words what it could not do."""
    told = quoting(what, lines_that_matter(ended.lines), MOST_LINES)
    if ended.status < 0:
        return EnvironmentNotBuiltError(f"{told} (it was killed by signal {-ended.status})")
    # Where an index did not answer, what can't be had may be there all the same.
    may_pass = _UNANSWERED.search("\n".join(ended.lines)) or is_of_the_machine(ended)
    # A warning of a release that is yanked says nothing of the error after it.
    is_final = ended.status == _CANT_BE_HAD or _FINAL.search(
        "\n".join(line for line in ended.lines if not line.startswith("warning:"))
    )
    if may_pass or not is_final:
        return EnvironmentNotBuiltError(told)
    return EnvironmentRefusedError(told)


def is_of_the_machine(ended: Ended) -> bool:
    """Tell whether a program failed for want of memory or disk, or was killed from outside."""
    return ended.status == -_SIGKILL or is_transient("\n".join(ended.lines))


def lines_that_matter(lines: tuple[str, ...]) -> list[str]:
    """Return uv's lines from its error on, without what it says of its progress."""
    told = [line for line in lines if not _NOISE.match(line)]
    begin = next((at for at, line in enumerate(told) if line.startswith("error:")), 0)
    return told[begin : begin + MOST_LINES]


def yanked(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Return a sentence for each release that uv took though its authors had withdrawn it.

    A version that pins one was logged with it, so it is installed (PEP 592), and said.
    """
    found = (_YANKED.match(line) for line in lines)
    told = dict.fromkeys(presentable(one[1], LISTED_CHARACTERS) for one in found if one)
    return tuple(told)[:MOST_LINES]
