"""Tells which environment variables hold secrets, by their names and values."""

import re

from service.core.redaction import redact

_WORDS = frozenset(
    {
        *("APIKEY", "AUTH", "AUTHORIZATION", "BEARER", "CREDENTIAL", "CREDENTIALS", "CREDS"),
        *("COOKIE", "COOKIES", "DSN", "HEADER", "HEADERS", "JWT", "KEY", "KEYS", "PASS"),
        *("PASSPHRASE", "PASSWD", "PASSWORD", "PASSWORDS", "PAT", "SAS", "SECRET", "SECRETS"),
        # Not TOKENS, which are counted: MAX_TOKENS.
        "TOKEN",
    }
)
_ENDS = ("APIKEY", "PASSFILE", "PASSWD", "PASSWORD", "SECRET", "TOKEN")
"""What a word may end with that is written together: PGPASSWORD."""
_PARTS = re.compile(r"(?<=.)_PWD$|CONNECTION_?STRING")
"""What says it by more than a word; PWD and OLDPWD are folders."""
_LONGEST_VALUE = 65_536
"""No more of a value is looked at."""


def holds_a_secret(name: str, value: str) -> bool:
    """Tell whether a variable's name means a secret, or its value has one: an address, a header."""
    return _names_a_secret(name.upper()) or _has_a_secret(value[:_LONGEST_VALUE])


def _names_a_secret(name: str) -> bool:
    words = name.split("_")
    return (
        not _WORDS.isdisjoint(words)
        or any(word.endswith(_ENDS) for word in words)
        or _PARTS.search(name) is not None
    )


def _has_a_secret(value: str) -> bool:
    """Tell whether the log would not show it as it is."""
    return redact(value) != value
