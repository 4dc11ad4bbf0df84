"""Take credentials out of whatever is shown: URIs, and whole sentences with URIs in them.

The texts are those of callers, models and registries, and are read in the server process. So each
pattern here begins at a fixed word or at the beginning of a run, and none looks at a run twice: the
time grows with the text and no faster.
"""

import re

HIDDEN = "***"

_SCHEME_END = "://"
_CONTAINER_SCHEMES = ("wasb://", "wasbs://", "abfs://", "abfss://")
"""Azure writes `container@account` here, which is no secret and needed to tell two apart."""

# `user:password@`, `token@`: up to the last @ before the path.
_USERINFO = re.compile(r"(?<=[\w+.-])://(?P<user>[^\s/?#'\"<>]*)@")
# A password with an unescaped slash. Digits up to a slash are a port, and what follows a path.
_USER = re.compile(r"(?<=[\w+.-])://[^\s/@:'\"<>]*:(?!\d+[/?#])")
_PASSWORD = re.compile(r"[^\s@'\"<>]*")
_HEADER = re.compile(
    r"(?P<key>\bauthorization['\"]?\s*[:=]\s*['\"]?(?:basic|bearer)\s+)[^\s'\"]+", re.IGNORECASE
)
_BEARER = re.compile(r"(?P<key>\bbearer\s+)[\w.~+/=-]{16,}", re.IGNORECASE)

_KEY = re.compile(r"(?<![\w.-])(?P<key>[\w.-]+)(?P<space>\s*)=\s*(?P<quote>['\"]?)")
# As a dict is shown, `'password': 'x'`, and a line that says nothing else, `X-Api-Key: x`.
_PAIR = re.compile(
    r"(?P<before>(?P<quote>['\"])(?P<key>[\w.-]{1,256})(?P=quote)\s{0,8}:\s{0,8}b?)"
    r"(?:'[^'\n]*'|\"[^\"\n]*\")"
)
_FIELD = re.compile(
    r"^(?P<before>[ \t]{0,64}(?P<key>[\w.-]{1,256}):[ \t]{1,64})\S+[ \t]{0,64}$", re.MULTILINE
)
_VALUE = re.compile(r"[^&;\s'\"<>#]+")
_QUOTED = {"'": re.compile(r"[^'\n]+(?=')"), '"': re.compile(r'[^"\n]+(?=")')}
_NOTHING = frozenset({"None", "null", "True", "true", "False", "false"})
_KEY_CHARACTERS = 256
"""Only so much of the end of a key is searched for a word that means a secret."""

_SECRET = re.compile(
    r"secret(?!ary)|password|passwd|pwd|credential|api[_-]?key|access[_-]?key|account[_-]?key|"
    r"private[_-]?key|sharedaccesssignature|authorization|"
    # Counts of a text's tokens, and what makes them, are no secrets.
    r"token(?!i[sz]|s(?![a-z])|[_.-](?:count|ids?|type|types)(?![a-z]))",
    re.IGNORECASE,
)
# A model has a signature, too: `sigma`, `design` and `signal` are no secrets, and neither is what
# an assignment in a traceback's line of source says.
_SIGNATURE = re.compile(r"(?:(?<![a-z])sig|signature)$", re.IGNORECASE)
_QUERY_MARKS = frozenset("?&;")
_SIGNED = re.compile(r"(?=[\w%+/=-]{0,64}?\d)(?:[\w%+/=-]{16,64}(?![\w%+/=.(\[-])|[\w%+/=-]{65})")
"""A signature's own letters, as far as they can be told from an expression of Python's."""


def redact(text: str) -> str:
    """Return a URI, or any sentence, without the credentials that it may hold."""
    if _SCHEME_END in text:
        text = _without_passwords(_USERINFO.sub(_hide_userinfo, text))
    text = _HEADER.sub(rf"\g<key>{HIDDEN}", text)
    text = _BEARER.sub(rf"\g<key>{HIDDEN}", text)
    if ":" in text:
        text = _FIELD.sub(_hide_value, _PAIR.sub(_hide_value, text))
    return _without_parameters(text) if "=" in text else text


def _hide_userinfo(found: re.Match[str]) -> str:
    end = found.start() + len(_SCHEME_END)
    scheme = found.string[max(0, end - len("abfss://") - 1) : end].lower()
    bare = scheme.lstrip(" \t\n'\"(<[{,;=")
    if bare in _CONTAINER_SCHEMES and ":" not in found["user"]:
        return found[0]
    return f"{_SCHEME_END}{HIDDEN}@"


def _without_passwords(text: str) -> str:
    """Hide `user:password@` where the password has a slash in it."""
    shown: list[str] = []
    done = 0
    begin = text.find(_SCHEME_END)
    while begin >= 0:
        looked = begin + len(_SCHEME_END)
        if user := _USER.match(text, begin):
            # Up to an @, or to the end of the word: then no other in it has one, either.
            password = _PASSWORD.match(text, user.end())
            looked = password.end() if password else user.end()
            if text.startswith("@", looked):
                shown += (text[done:begin], _SCHEME_END, HIDDEN)
                done = looked
        begin = text.find(_SCHEME_END, looked)
    shown.append(text[done:])
    return "".join(shown)


def _hide_value(found: re.Match[str]) -> str:
    """Hide what a key names, if that is a secret."""
    return f"{found['before']}{HIDDEN}" if _SECRET.search(found["key"]) else found[0]


def _without_parameters(text: str) -> str:
    """Hide the values of keys that name a secret."""
    shown: list[str] = []
    done = 0
    for found in _KEY.finditer(text):
        if found.start() < done or not _names_a_secret(found):
            continue
        quoted = _QUOTED[found["quote"]].match(text, found.end()) if found["quote"] else None
        value = quoted or _VALUE.match(text, found.end())
        if value is not None and value[0] not in _NOTHING:
            shown += (text[done : value.start()], HIDDEN)
            done = value.end()
    shown.append(text[done:])
    return "".join(shown)


def _names_a_secret(found: re.Match[str]) -> bool:
    key = found["key"][-_KEY_CHARACTERS:]
    if _SECRET.search(key):
        return True
    if found["space"] or not _SIGNATURE.search(key):
        return False
    before = found.string[found.start() - 1 : found.start()]
    return before in _QUERY_MARKS or _SIGNED.match(found.string, found.end()) is not None
