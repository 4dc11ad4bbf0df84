"""MLflow's types, as msgspec reads them out of JSON.

The words are those of `mlflow.types.schema` (3.17): a scalar is written `{"type": "double"}`, the
nested ones `array` (with `items`), `object` (with `properties`), `map` (with `values`), `any` and
`sparkml_vector`, a tensor's element is a numpy dtype.
"""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.contracts.keys import object_type
from service.core.errors import SignatureError

MAX_DEPTH = 64
"""Nesting allowed where a type is open (`any`): what follows may recurse over it."""

_INT64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
FLOAT32_MAX = 3.4028234663852886e38
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as the columns are
_MICROSECOND = timedelta(microseconds=1)
_FINEST_OF_DATETIME = len("2024-01-01T00:00:00.000000")
_FINER = re.compile(r"([^.]{19}\.[0-9]{6})([0-9]+)")
# pandas keeps nanoseconds in 64 bits; beyond these days there are none.
FIRST_MOMENT = datetime(1677, 9, 22)  # noqa: DTZ001
LAST_MOMENT = datetime(2262, 4, 11)  # noqa: DTZ001


class Moment:
    """A datetime column's value: nanoseconds since 1970 in UTC."""

    __slots__ = ("ns",)

    def __init__(self, ns: int) -> None:
        self.ns = ns


class NestedMoment(str):
    """A datetime within a nested value: RFC 3339 without a zone, in UTC."""

    __slots__ = ()


SCALARS: dict[str, tuple[Any, str]] = {
    "boolean": (bool, "bool"),
    "integer": (Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)], "int32"),
    "long": (_INT64, "int64"),
    "float": (Annotated[float, Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)], "float32"),
    "double": (float, "float64"),
    "string": (str, ""),
    "binary": (bytes, ""),
    "datetime": (Moment, "datetime64[ns]"),
}
"""For each scalar what msgspec reads, and the dtype of its column's buffer ('' for a list)."""

NULLABLE_DTYPES = frozenset({"float32", "float64", "datetime64[ns]"})
"""Buffers that have a value for null."""

_ELEMENTS: dict[str, Any] = {
    "bool": bool,
    "int8": Annotated[int, Meta(ge=-(2**7), le=2**7 - 1)],
    "int16": Annotated[int, Meta(ge=-(2**15), le=2**15 - 1)],
    "int32": Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)],
    "int64": _INT64,
    "uint8": Annotated[int, Meta(ge=0, le=2**8 - 1)],
    "uint16": Annotated[int, Meta(ge=0, le=2**16 - 1)],
    "uint32": Annotated[int, Meta(ge=0, le=2**32 - 1)],
    "uint64": Annotated[int, Meta(ge=0)],  # msgspec has no bound above int64: the column checks
    "float16": Annotated[float, Meta(ge=-65504, le=65504)],
    "float32": Annotated[float, Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)],
    "float64": float,
}


def parse_moment(text: Any) -> tuple[datetime, int]:
    """Read RFC 3339, or a date alone, as a naive datetime in UTC, and the nanoseconds beyond it.

    Digits behind those are dropped, as pandas does. Raise ValueError for other texts.
    """
    wanted = "Expected `datetime`"
    if not isinstance(text, str):
        raise ValueError(wanted)  # noqa: TRY004 - msgspec reports a ValueError with its path
    nanoseconds = 0
    # msgspec rounds up to the microsecond, which may make it the next year.
    if len(text) > _FINEST_OF_DATETIME and (finer := _FINER.match(text)):
        nanoseconds = int(finer[2][:3].ljust(3, "0"))
        text = finer[1] + text[finer.end() :]
    try:
        if len(text) == len("2024-01-01"):
            # Not `fromisoformat`, which reads weeks of ISO 8601 as well.
            moment = datetime.combine(msgspec.convert(text, date), datetime.min.time())
        else:
            moment = msgspec.convert(text, datetime)
        if moment.tzinfo is not None:
            moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError, msgspec.ValidationError):
        raise ValueError(wanted) from None
    if not FIRST_MOMENT <= moment < LAST_MOMENT:
        raise ValueError(f"{wanted} between {FIRST_MOMENT:%Y-%m-%d} and {LAST_MOMENT:%Y-%m-%d}")
    return moment, nanoseconds


def dec_hook(kind: type, value: Any) -> Any:
    """Read what msgspec has no type for."""
    moment, nanoseconds = parse_moment(value)
    if kind is Moment:
        return Moment((moment - EPOCH) // _MICROSECOND * 1000 + nanoseconds)
    if len(value) == len("2024-01-01"):
        return NestedMoment(value)
    if nanoseconds:
        return NestedMoment(f"{moment.isoformat(timespec='microseconds')}{nanoseconds:03d}")
    return NestedMoment(moment.isoformat())


def nested_type(spec: dict[str, Any]) -> Any:  # noqa: PLR0911 - one for each kind
    """Return the type of a value inside another one, or of a column that is no scalar."""
    kind = spec.get("type")
    if kind == "datetime":
        return NestedMoment
    if kind in SCALARS:
        return SCALARS[kind][0]
    match kind:
        case "array":
            return list[nested_type(spec["items"])]  # type: ignore[misc]
        case "sparkml_vector":
            return list[float]
        case "map":
            return dict[str, nested_type(spec["values"])]  # type: ignore[misc]
        case "object":
            return _object(spec["properties"])
        case "any":
            return Any
    raise SignatureError(f"the signature has the type {kind!r}, which cannot be served")


def _object(properties: dict[str, Any]) -> Any:
    required, optional = {}, {}
    for name, prop in properties.items():
        kind = nested_type(prop)
        if prop.get("required", True):
            required[name] = kind
        else:
            # A type hint's field with a default may be left out, and not be null.
            optional[name] = kind | None if prop.get("nullable", True) else kind
    return object_type("Object", required, optional)


def is_open(spec: dict[str, Any]) -> bool:
    """Tell whether values of this type must still be made plain after decoding."""
    match spec.get("type"):
        case "datetime" | "any":
            return True
        case "array":
            return is_open(spec["items"])
        case "map":
            return is_open(spec["values"])
        case "object":
            return any(is_open(prop) for prop in spec["properties"].values())
    return False


def element_type(dtype: str) -> tuple[Any, bool]:
    """Return the type of a tensor's element, and whether the tensor can travel as a buffer."""
    if dtype in _ELEMENTS:
        return _ELEMENTS[dtype], True
    if dtype.startswith("datetime64"):
        return NestedMoment, False
    kinds: dict[str, Any] = {"str": str, "bytes": bytes, "object": Any}
    if dtype not in kinds:
        raise SignatureError(f"the signature has a tensor of {dtype!r}, which cannot be served")
    return kinds[dtype], False


def plain(value: Any, fail: Callable[[str, Any], Exception], depth: int = 0) -> Any:
    """Return an open value as it may travel.

    Raise what `fail(expected, value)` returns for integers beyond 64 bits and absurd nesting.
    """
    if depth > MAX_DEPTH:
        raise fail(f"at most {MAX_DEPTH} levels of nesting", value)
    if isinstance(value, list):
        return [plain(item, fail, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: plain(item, fail, depth + 1) for key, item in value.items()}
    if isinstance(value, NestedMoment):
        return str(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise fail("an integer that fits 64 bits", value)
    return value
