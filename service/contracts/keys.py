"""Types of JSON objects whose keys may be any text."""

import sys
from collections.abc import Iterable
from typing import Any, TypedDict

import msgspec

if sys.version_info >= (3, 11):
    from typing import NotRequired  # novm
else:
    # MLflow brings it.
    from typing_extensions import NotRequired


def object_type(name: str, required: dict[str, Any], optional: dict[str, Any]) -> Any:
    """Return a TypedDict with these keys, all of which msgspec finds in a body.

    msgspec (0.22) compares a TypedDict's keys by the UTF-8 that Python keeps beside each text. A
    text beyond ASCII has none until somebody asks for it, and is then matched by nothing: encoding
    the keys is asking.
    """
    msgspec.json.encode([*required, *optional])
    fields = {**required, **{key: NotRequired[kind] for key, kind in optional.items()}}
    return TypedDict(name, fields)  # type: ignore[operator]


def plain_names(names: Iterable[str]) -> bool:
    """Tell whether msgspec's structs can have fields of these names."""
    return not any(character in '"\\' or character < " " for name in names for character in name)
