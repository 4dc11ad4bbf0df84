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
    r"(?P<key>\bauthorization['\"]?\s{0,8}[:=]\s{0,8}['\"]?"
    r"(?:basic|bearer|token|apikey|negotiate|ntlm|sharedkey(?:lite)?|hmac|aws|pat)\s{1,8})"
    r"[^\s'\"]+",
    re.IGNORECASE,
)
_PARAMETER = r"[\w-]{1,64}=(?:\\?\"[^\"\n]*\"|'[^'\n]*'|[^\s,'\"]*)"
# Of schemes whose credential is a list: `Digest username="u", response="0f..."`.
_LISTED = re.compile(
    r"(?P<key>\bauthorization['\"]?\s{0,8}[:=]\s{0,8}['\"]?"
    r"(?:digest|hawk|oauth|signature|mac|vapid|aws4-[\w-]{1,32}|scram-[\w-]{1,32})\s{1,8})"
    rf"{_PARAMETER}(?:\s{{0,8}},\s{{0,8}}{_PARAMETER}|\s{{1,8}}{_PARAMETER})*",
    re.IGNORECASE,
)
_COOKIE = re.compile(
    r"(?P<key>(?<![\w-])(?:set-)?cookie['\"]?\s{0,8}:\s{0,8}['\"]?)[^\n'\"]+", re.IGNORECASE
)
_BEARER = re.compile(r"(?P<key>\bbearer\s+)[\w.~+/=-]{16,}", re.IGNORECASE)

_PRIVATE_KEY = re.compile(
    r"(?P<key>-----BEGIN (?:[A-Z]{1,16} ){0,3}PRIVATE KEY-----)(?:[^-]|-(?!----))+"
)
# Tokens that can be told by how they begin: of JWT, Databricks, GitHub, GitLab, Hugging Face, and
# our own keys.
_TOKEN = re.compile(
    r"(?P<key>)(?<![\w-])(?:eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|dapi[0-9a-f]{32}|"
    r"gh[pousr]_\w{30,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_\w{30,}|hsk_[\w-]{43})"
)
_HIDDEN_BEHIND = rf"\g<key>{HIDDEN}"

# A URL within another one has its own marks percent-encoded.
_KEY = re.compile(
    r"(?<![\w.-])(?:(?<=%)[0-9A-Fa-f]{2})?(?P<key>[\w.-]+)(?P<space>\s*)"
    r"(?:=|%3[Dd])\s*(?P<quote>['\"]?)"
)
# As a dict is shown, `'password': 'x'`, and a line that says nothing else, `X-Api-Key: x`.
_PAIR = re.compile(
    r"(?P<before>(?P<quote>['\"])(?P<key>[\w.-]{1,256})(?P=quote)\s{0,8}:\s{0,8}b?)"
    r"(?P<value>'[^'\n]*'|\"[^\"\n]*\")"
)
_FIELD = re.compile(
    r"^(?P<before>[ \t]{0,64}(?P<key>[\w.-]{1,256}):[ \t]{1,64})(?P<value>\S+)[ \t]{0,64}$",
    re.MULTILINE,
)
# In a command line, `--password x`, or in a list of its words, `'--password', 'x'`.
_OPTION = re.compile(
    r"(?<![\w-])--?(?P<key>[A-Za-z][\w.-]{0,255})(?:[ \t]{1,8}|['\"], {0,8}(?=['\"]))(?![-<\[\s])"
)
_GIVEN = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|[^\s'\"]+")
_USER_OPTIONS = frozenset({"u", "U", "user", "proxy-user"})
_USER_AND_PASSWORD = re.compile(r"['\"]?[^\s:'\"]{1,256}:(?!\d+['\"]?$)[^\s/].*", re.DOTALL)
_PASS = re.compile(r"pass(?:phrase|in|out|code)?$", re.IGNORECASE)
"""The end of an option of a program that asks for a password, such as `-storepass`."""
_PROSE = frozenset(
    {
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "did", "does", "for"),
        *("from", "had", "has", "have", "if", "in", "instead", "into", "is", "it", "its", "may"),
        *("must", "no", "not", "of", "on", "option", "or", "should", "so", "than", "that", "the"),
        *("then", "this", "to", "was", "were", "when", "which", "will", "with", "without"),
        *("flag", "argument", "parameter", "requires", "needs", "wants", "takes", "expects"),
        *("missing", "required", "given", "set"),
    }
)
"""Words that follow an option's name in a sentence about it."""
_VALUE = re.compile(r"[^&;\s'\"<>#]+")
_QUOTED = {"'": re.compile(r"[^'\n]+(?=')"), '"': re.compile(r'[^"\n]+(?=")')}
_NOTHING = frozenset(
    {
        *("none", "null", "true", "false", "boolean", "bool", "integer", "int", "int32", "int64"),
        *("long", "float", "float32", "float64", "double", "string", "str", "bytes", "binary"),
        *("datetime", "datetime64[ns]", "object", "category"),
    }
)
"""Values that are no secrets: nothing, and the types of a column or an argument."""
_AROUND = "'\"()[]{},;:"
_KEY_CHARACTERS = 256
"""Only so much of the end of a key is searched for a word that means a secret."""

_SECRET = re.compile(
    r"secret(?!ary)|password|passwd|pwd|credential|api[_-]?key|access[_-]?key|account[_-]?key|"
    r"private[_-]?key|sharedaccesssignature|authorization|"
    # Counts of a text's tokens, and what makes them, are no secrets.
    r"token(?!i[sz]|s(?![a-z])|[_.-](?:count|ids?|type|types)(?![a-z]))",
    re.IGNORECASE,
)
_MEASURE = re.compile(
    r"(?:[_.-](?:len|length|size|count|index|dim|dims|dtype|type|types|names?|expires_in|ttl)|"
    r"(?<=[a-z])(?:Length|Size|Count|Index|Type|Name))$"
)
"""The end of a key that tells how long, how many or of what kind something is."""
# A model has a signature, too: `sigma`, `design` and `signal` are no secrets, and neither is what
# an assignment in a traceback's line of source says.
_SIGNATURE = re.compile(r"(?:(?<![a-z])sig|signature)$", re.IGNORECASE)
_QUERY_MARKS = frozenset("?&;%")
_SIGNED = re.compile(r"(?=[\w%+/=-]{0,64}?\d)(?:[\w%+/=-]{16,64}(?![\w%+/=.(\[-])|[\w%+/=-]{65})")
"""A signature's own letters, as far as they can be told from an expression of Python's."""


def redact(text: str) -> str:
    """Return a URI, or any sentence, without the credentials that it may hold."""
    if _SCHEME_END in text:
        text = _without_passwords(_USERINFO.sub(_hide_userinfo, text))
    for hidden in (_HEADER, _LISTED, _BEARER, _COOKIE, _PRIVATE_KEY, _TOKEN):
        text = hidden.sub(_HIDDEN_BEHIND, text)
    if ":" in text:
        text = _FIELD.sub(_hide_value, _PAIR.sub(_hide_value, text))
    if "-" in text:
        text = _without_options(text)
    has_parameters = "=" in text or "%3D" in text or "%3d" in text
    return _without_parameters(text) if has_parameters else text


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
    key, value = found["key"], found["value"].strip(_AROUND)
    is_secret = _is_secret(key) or (_SIGNATURE.search(key) and _SIGNED.match(value))
    return f"{found['before']}{HIDDEN}" if is_secret and not _says_nothing(key, value) else found[0]


def _without_options(text: str) -> str:
    """Hide what options that name a secret are given."""
    shown: list[str] = []
    done = 0
    for found in _OPTION.finditer(text):
        key = found["key"]
        may_have = key in _USER_OPTIONS or _is_secret(key) or _PASS.search(key)
        if found.start() < done or not may_have:
            continue
        given = _GIVEN.match(text, found.end())
        if given is not None and _is_given_a_secret(key, given[0]):
            quote = given[0][0] if given[0][0] in "'\"" else ""
            shown += (text[done : given.start()], quote, HIDDEN, quote)
            done = given.end()
    shown.append(text[done:])
    return "".join(shown)


def _is_given_a_secret(key: str, value: str) -> bool:
    """Tell whether what follows an option is its value, and no word of a sentence about it."""
    if key in _USER_OPTIONS:
        return _USER_AND_PASSWORD.fullmatch(value) is not None
    bare = value[:_KEY_CHARACTERS].strip(_AROUND + ".")
    is_word = not bare or bare in _PROSE or bare.lower() == key.lower()
    return not (is_word or _says_nothing(key, value))


def _without_parameters(text: str) -> str:
    """Hide the values of keys that name a secret."""
    shown: list[str] = []
    done = 0
    for found in _KEY.finditer(text):
        if found.start() < done or not _names_a_secret(found):
            continue
        quoted = _QUOTED[found["quote"]].match(text, found.end()) if found["quote"] else None
        value = quoted or _VALUE.match(text, found.end())
        if value is not None and not _says_nothing(found["key"], value[0]):
            shown += (text[done : value.start()], HIDDEN)
            done = value.end()
    shown.append(text[done:])
    return "".join(shown)


def _is_secret(key: str) -> bool:
    return _SECRET.search(key) is not None and not _MEASURE.search(key)


def _says_nothing(key: str, value: str) -> bool:
    """Tell whether a value is no secret whatever it is called, or its own name passed on."""
    bare = value[:_KEY_CHARACTERS].strip(_AROUND)
    if bare.lower() in _NOTHING:
        return True
    return (
        bare.rpartition(".")[2] == key.rpartition(".")[2] and bare.replace(".", "").isidentifier()
    )


def _names_a_secret(found: re.Match[str]) -> bool:
    # With what is no encoded mark but the key's own first letters.
    key = found.string[found.start() : found.end("key")][-_KEY_CHARACTERS:]
    if _is_secret(key):
        return True
    if found["space"] or not _SIGNATURE.search(found["key"][-_KEY_CHARACTERS:]):
        return False
    before = found.string[found.start() - 1 : found.start()]
    return before in _QUERY_MARKS or _SIGNED.match(found.string, found.end()) is not None
