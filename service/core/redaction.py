"""Take credentials out of whatever is shown: URIs, and whole sentences with URIs in them."""

import re

HIDDEN = "***"

_TELLTALE = (
    r"(?:token|sig|signature|secret|password|passwd|pwd|credential|apikey|api[_-]key|"
    r"access[_-]?key(?:id)?|account[_-]?key|private[_-]?key|sharedaccesssignature|authorization)"
)

# `user:password@`, `token@`: up to the last @ before the path.
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<who>[^\s/?#'\"<>]*)@")
# A password with an unescaped slash. Digits up to a slash are a port, and what follows a path.
_SLASHED = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)[^\s/@:'\"<>]*:(?!\d+[/?#])[^\s@'\"<>]*@")
_PARAMETER = re.compile(
    rf"(?P<key>\b[\w.-]*{_TELLTALE}[\w.-]*\s*=\s*)(?P<quote>['\"]?)[^&;\s'\"<>#]+", re.IGNORECASE
)
_HEADER = re.compile(
    r"(?P<key>\bauthorization['\"]?\s*[:=]\s*['\"]?(?:basic|bearer)\s+)[^\s'\"]+", re.IGNORECASE
)
_BEARER = re.compile(r"(?P<key>\bbearer\s+)[\w.~+/=-]{16,}", re.IGNORECASE)

_CONTAINER_SCHEMES = frozenset({"wasb://", "wasbs://", "abfs://", "abfss://"})
"""Azure writes `container@account` here, which is no secret and needed to tell two apart."""


def redact(text: str) -> str:
    """Return a URI, or any sentence, without the credentials that it may hold."""
    text = _USERINFO.sub(_hide_userinfo, text)
    text = _SLASHED.sub(_hide_slashed, text)
    text = _HEADER.sub(rf"\g<key>{HIDDEN}", text)
    text = _BEARER.sub(rf"\g<key>{HIDDEN}", text)
    return _PARAMETER.sub(rf"\g<key>\g<quote>{HIDDEN}", text)


def _hide_userinfo(found: re.Match[str]) -> str:
    if found["scheme"].lower() in _CONTAINER_SCHEMES and ":" not in found["who"]:
        return found[0]
    return f"{found['scheme']}{HIDDEN}@"


def _hide_slashed(found: re.Match[str]) -> str:
    return f"{found['scheme']}{HIDDEN}@"
