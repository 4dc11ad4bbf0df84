"""How the text of a variable becomes a setting's value, or a sentence on what is allowed."""

import contextlib
import math
from pathlib import Path
from typing import Any

import msgspec

from service.core.redaction import redact
from service.core.text import printable
from service.settings.errors import SettingsError
from service.settings.written import read_bool, read_float, read_int, without_quotes, without_unit

SECRETS = frozenset({"admin_token", "hotswap_key", "webhook_secret"})
"""Settings whose values are never shown."""
TOKEN = r"^[!-~]*\Z"  # noqa: S105 - what one looks like
HOSTS = r"^[A-Za-z0-9*.,:_\[\] -]*\Z"
ORIGINS = r"^(\*|\s*https?://[A-Za-z0-9.:\[\]-]+\s*(,\s*https?://[A-Za-z0-9.:\[\]-]+\s*)*|)\Z"
COMPAT = r"^(\s*(triton|kserve|mlserver)\s*(,(?=\s*[a-z])|\Z))*\Z"
VARIABLES = r"^(\s*-?[A-Za-z_][A-Za-z0-9_]*\*?\s*(,|\Z))*\Z"

_IN_WORDS = {
    TOKEN: "printable ASCII without spaces",
    COMPAT: "triton, kserve and mlserver, separated by commas",
    ORIGINS: "origins separated by commas, such as https://app.example.com, or *",
    HOSTS: "names or addresses separated by commas, such as models.example.com, or *",
    VARIABLES: "names of variables separated by commas, such as MY_TOKEN,-AWS_*",
}
_SHOWN, _LOOKED_AT = 80, 400
"""So many characters of a wrong value are shown, and so many are looked at for that."""


_LONGEST_TEXT = 2048
"""The most characters of a path, an address or a list."""
_LONGEST = {
    "models": 65_536,
    **dict.fromkeys(("model_name", "model_stage", "model_alias", "default_model"), 256),
}
"""The most characters of a list of models, and of a name in MLflow."""


class WrongTextError(ValueError):
    """A text that is no value of a setting; its message says what is allowed."""


def convert(kind: Any, text: str, longest: int) -> Any:
    """Convert a text to a field's type. Raise WrongTextError where it is no such value."""
    if len(text) > longest:
        raise WrongTextError(f"text of {longest} characters at most")
    if printable(text) != text or "\t" in text:
        raise WrongTextError("text without control characters")
    info = msgspec.inspect.type_info(kind)
    value: Any = text
    match info:
        case msgspec.inspect.LiteralType():
            value = without_quotes(text).lower()
        case msgspec.inspect.BoolType():
            value = read_bool(without_quotes(text))
        case msgspec.inspect.IntType():
            value = read_int(without_quotes(text))
        case msgspec.inspect.FloatType():
            value = read_float(without_quotes(text))
    if kind is Path:
        return Path(text)
    with contextlib.suppress(msgspec.ValidationError):
        converted = msgspec.convert(value, kind)
        # A bound does not stop NaN, which compares false with everything.
        if not isinstance(converted, float) or math.isfinite(converted):
            return converted
    raise WrongTextError(_allowed(info))


def convert_setting(name: str, kind: Any, text: str) -> Any:
    """Convert a setting's text to its field's type.

    Raises:
        SettingsError: it is no such value; one line says what is allowed.
    """
    try:
        number = without_unit(name, text)
        return convert(kind, number, _LONGEST.get(name, _LONGEST_TEXT))
    except WrongTextError as error:
        raise SettingsError(f"{shown_setting(name, text)} is wrong: allowed is {error}") from None


def shown_setting(name: str, text: str) -> str:
    """Show a setting with its value, cut short, unless the value is a secret."""
    return name.upper() if name in SECRETS else f"{name.upper()}={show(text)}"


def show(text: str) -> str:
    """Return a value as an error shows it: short, without credentials, escaped where need be."""
    # Cut first: what is long is not worth a look.
    told = redact(printable(text[:_LOOKED_AT]).replace("\t", r"\t"))
    return told if len(told) <= _SHOWN else f"{told[:_SHOWN]} ..."


def _allowed(info: msgspec.inspect.Type) -> str:
    """Say in words which values a field's type takes."""
    match info:
        case msgspec.inspect.LiteralType(values=values):
            return " or ".join(str(value) for value in values)
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case msgspec.inspect.FloatType(gt=None, ge=low, le=high):
            return f"a number from {low:g} to {high:g}"
        case msgspec.inspect.FloatType(gt=low, le=high):
            return f"a number over {low:g}, at most {high:g}"
        case _:
            return _IN_WORDS.get(str(getattr(info, "pattern", "")), "text")
