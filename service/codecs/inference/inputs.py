"""Turn the tensors of a request into what a contract takes.

A model of named columns takes a tensor for each, of shape [N] or [N, 1]; one of unnamed columns a
single tensor of [N, columns]; a tensor signature its tensors, and a single one by whatever name.
"""

import base64
import binascii
from collections.abc import Callable, Generator, Mapping
from math import isfinite
from typing import Any

import msgspec
import numpy as np

from service.codecs.bounds import Bounds
from service.codecs.inference.casts import cast
from service.codecs.inference.datatypes import BYTES, DATATYPES, DTYPES, UNNAMED_INPUT
from service.codecs.inference.elements import Elements, Read
from service.codecs.inference.request import Sent, text
from service.contracts.contract import Contract, InputSpec, Layout, Values
from service.contracts.faults import Fault, decode, fault_in, first_index, violation, violation_in
from service.contracts.mlflow_types import SCALARS, Moment, dec_hook, element_type, nested_type
from service.core.errors import ContractViolationError

_ITEM = "float64"
_PLAIN = frozenset({"double", "float", "long", "integer"})
"""The types whose bytes are taken as they are, where their tensor's datatype is their own."""
_LISTED = {"double": "FP64", "long": "INT64", "integer": "INT32", "boolean": "BOOL"}
"""The datatype whose elements in JSON are a type's own values, so that nothing need be cast."""


class Inputs:
    """Reads the tensors of one contract's requests."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._listed = [_LISTED.get(spec.type, "") * spec.required for spec in contract.taken]
        self._described: list[dict[str, Any]] = contract.signature["inputs"]
        self._nested = {
            spec.name: msgspec.json.Decoder(_nullable(spec, nested_type(raw)), dec_hook=dec_hook)
            for spec, raw in zip(contract.taken, self._described, strict=True)
            if spec.type != "tensor" and spec.type not in SCALARS
        }

        self._plain = [
            DATATYPES.get(spec.dtype, "") if spec.required and spec.type in _PLAIN else ""
            for spec in contract.taken
        ]
        """The datatype of each input whose bytes are taken as they are, '' of others."""

    def read(
        self, tensors: Mapping[str, Sent], bounds: Bounds
    ) -> Generator[None, None, tuple[int, list[Values]]]:
        """Return how many rows there are, and the values of each input; yield between tensors.

        Raise ContractViolationError, MalformedBodyError and BodyTooLargeError.
        """
        contract = self._contract
        if contract.layout is Layout.POSITIONAL:
            return self._positional(_single(tensors), bounds)
        if contract.layout is Layout.TENSOR:
            sent = _single(tensors)
            read = Read(sent, bounds, nulls=False)
            return read.rows, [self._tensor(read, 0)]
        self._check_unknown(tensors)
        return (yield from self._named(tensors, bounds))

    def _named(
        self, tensors: Mapping[str, Sent], bounds: Bounds
    ) -> Generator[None, None, tuple[int, list[Values]]]:
        rows, first = 0, ""
        most_rows = bounds.rows
        values: list[Values] = []
        for index, spec in enumerate(self._contract.taken):
            if index:
                yield
            found = tensors.get(spec.name)
            if found is None:
                if spec.required:
                    raise ContractViolationError(
                        f"inputs.{spec.name}", None, "a tensor of this name", "none"
                    )
                values.append([])
                continue
            plain = _plain(found, self._plain[index], most_rows)
            if plain is not None and (not first or len(plain) == rows):
                rows, first = len(plain), first or spec.name
                values.append(plain)
                continue
            listed = self._listed[index]
            read = Read(found, bounds, nulls=not spec.required, listed=listed)
            if not first:
                rows, first = read.rows, spec.name
            elif read.rows != rows:
                wanted = f"{rows} rows, as {first} has"
                raise ContractViolationError(f"inputs.{spec.name}", None, wanted, f"{read.rows}")
            if spec.type == "tensor":
                values.append(self._tensor(read, index))
            else:
                _check_column(read)
                is_listed = read.datatype == listed and isinstance(read.elements, list)
                values.append(
                    read.elements if is_listed else self._column(read, spec, read.elements, found)
                )
        if not first:
            raise ContractViolationError("inputs", None, "a tensor for one of its columns", "none")
        return rows, values

    def _check_unknown(self, tensors: Mapping[str, Sent]) -> None:
        if not self._contract.refuse_unknown:
            return
        known = {spec.name for spec in self._contract.taken}
        for name in tensors:
            if name not in known:
                raise ContractViolationError(
                    f"inputs.{name}", None, "no tensor of this name", "one"
                )

    def _positional(self, sent: Sent, bounds: Bounds) -> tuple[int, list[Values]]:
        taken = self._contract.taken
        read = Read(sent, bounds, nulls=any(not spec.required for spec in taken))
        count = len(taken)
        if read.shape[1:] != [count] and not (count == 1 and len(read.shape) == 1):
            path = f"inputs.{read.name}.shape"
            raise ContractViolationError(path, None, f"[rows, {count}]", f"{read.shape}")
        elements = read.elements
        return read.rows, [
            self._column(read, spec, elements[index::count], sent)
            for index, spec in enumerate(taken)
        ]

    def _column(self, read: Read, spec: InputSpec, elements: Elements, sent: Sent) -> Values:
        """Return a value a row."""
        if spec.required and isinstance(elements, list) and None in elements:
            row = elements.index(None)
            raise violation(read.path(row), "a value", None, row)
        if spec.type in {"string", "datetime", "binary"} or spec.name in self._nested:
            return self._texts(read, spec, elements, sent)
        return _numbers(read, SCALARS[spec.type][1], elements, spec)

    def _texts(self, read: Read, spec: InputSpec, elements: Elements, sent: Sent) -> Values:
        if read.datatype != BYTES:
            wanted = f"{BYTES} for a column of type {spec.type}"
            raise ContractViolationError(f"inputs.{read.name}", None, wanted, read.datatype)
        if spec.type == "binary":
            if text(sent.tensor.parameters or {}, "content_type") == "base64":
                return _each(read, elements, _from_base64)
            return [value.encode() if isinstance(value, str) else value for value in elements]
        if spec.name in self._nested:
            decoder = self._nested[spec.name]
            return [
                None if value is None else _from_json(read, row, decoder, value)
                for row, value in enumerate(elements)
            ]
        texts = _each(read, elements, _from_utf8)
        if spec.type == "string":
            return texts
        try:
            moments: list[Any] = msgspec.convert(texts, list[Moment | None], dec_hook=dec_hook)
        except msgspec.ValidationError as error:
            fault = fault_in(error, texts)
            row = first_index(fault.place) or 0
            raise violation_in(fault._replace(place=""), read.path(row), row) from None
        return moments

    def _tensor(self, read: Read, index: int) -> Values:
        """Return an array of the input's shape, or a nested list a row where it travels as that."""
        spec = self._contract.taken[index]
        shape = list(spec.shape)
        if not _fits(read.shape[1:], shape) and not (shape == [] and read.shape[1:] == [1]):
            path = f"inputs.{read.name}.shape"
            wanted = f"[rows{''.join(f', {size}' for size in shape)}]"
            raise ContractViolationError(path, None, wanted, f"{read.shape}")
        elements = read.elements
        if spec.dtype:
            if isinstance(elements, list):
                raise ContractViolationError(
                    f"inputs.{read.name}", None, f"{spec.dtype} numbers", read.datatype
                )
            found = cast(read, elements, spec.dtype, nulls=False)
            return found.reshape(read.rows, *read.shape[1:])
        if isinstance(elements, list):
            dtype = self._described[index]["tensor-spec"]["dtype"]
            if dtype == "bytes":
                elements = [v.encode() if isinstance(v, str) else v for v in elements]
            else:
                elements = _each(read, elements, _from_utf8)
            return _nested_rows(elements, read.shape, element_type(dtype)[0], read)
        dtype = self._described[index]["tensor-spec"]["dtype"]
        if dtype.startswith(("str", "bytes", "datetime64")):
            wanted = f"{BYTES} for a tensor of {dtype}"
            raise ContractViolationError(f"inputs.{read.name}", None, wanted, read.datatype)
        if not dtype.startswith("object"):
            elements = cast(read, elements, dtype, nulls=False)
        rows: list[Any] = elements.reshape(read.shape).tolist()
        return rows


def _plain(sent: Sent, datatype: str, most_rows: int) -> "np.ndarray[Any, Any] | None":
    """Return a column that is taken as its bytes are; None where more is to be looked at.

    That is what most tensors in binary are, and takes a third of the time.
    """
    tensor, data, _ = sent
    shape = tensor.shape
    if data is None or not datatype or tensor.datatype != datatype:
        return None
    if not shape or (len(shape) > 1 and shape[1:] != [1]) or not 0 < shape[0] <= most_rows:
        return None
    if len(data) != shape[0] * int(datatype[-2:]) // 8:
        return None
    found = np.frombuffer(data, DTYPES[datatype])
    if datatype[0] == "F":
        is_finite = isfinite(found.item()) if len(found) == 1 else np.isfinite(found).all()
        return found if is_finite else None
    return found


def _single(tensors: Mapping[str, Sent]) -> Sent:
    """Return the only tensor, whatever its name."""
    if len(tensors) != 1:
        sent = tensors.get(UNNAMED_INPUT)
        if sent is not None:
            return sent
        wanted = f"one tensor, since this model's input has no name ({UNNAMED_INPUT})"
        raise ContractViolationError("inputs", None, wanted, f"{len(tensors)}")
    return next(iter(tensors.values()))


def _check_column(read: Read) -> None:
    if len(read.shape) > 1 and (len(read.shape) > 2 or read.shape[1] != 1):  # noqa: PLR2004 - [N, 1]
        path = f"inputs.{read.name}.shape"
        raise ContractViolationError(path, None, "[rows] or [rows, 1]", f"{read.shape}")


def _fits(shape: list[int], wanted: list[int]) -> bool:
    return len(shape) == len(wanted) and all(
        size in (other, abs(size) if other < 0 else other)
        for size, other in zip(shape, wanted, strict=True)
    )


def _numbers(read: Read, dtype: str, elements: Elements, spec: InputSpec) -> Values:
    """Return numbers or booleans; a list where some are missing and the type has no NaN."""
    missing = None
    if isinstance(elements, list):
        if read.datatype == BYTES:
            wanted = f"numbers for a column of type {spec.type}"
            raise ContractViolationError(f"inputs.{read.name}", None, wanted, BYTES)
        missing = np.array([value is None for value in elements])
        kind = {"B": "bool", "F": _ITEM, "U": "uint64"}.get(read.datatype[0], "int64")
        elements = np.array([0 if value is None else value for value in elements], kind)
    elif not spec.required and not spec.dtype and elements.dtype.kind == "f":
        missing = np.isnan(elements)
        elements = np.where(missing, np.zeros(1, elements.dtype), elements)
    found = cast(read, elements, dtype, nulls=not spec.required)
    if spec.dtype:
        if missing is not None and missing.any():
            return np.where(missing, np.array(np.nan, found.dtype), found)
        return found
    values: list[Any] = found.tolist()
    if missing is None or not missing.any():
        return values
    return [None if lacks else value for lacks, value in zip(missing, values, strict=True)]


def _each(read: Read, elements: Elements, made: Callable[[Any], Any]) -> list[Any]:
    """Return each element in another form. Raise ContractViolationError for one that has none."""
    found = []
    for at, value in enumerate(elements):
        try:
            found.append(None if value is None else made(value))
        except ValueError as error:
            row = at * read.rows // len(elements)
            raise ContractViolationError(read.path(row), row, str(error), "other bytes") from None
    return found


def _from_utf8(value: str | bytes) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError("a text in UTF-8") from None


def _from_base64(value: str | bytes) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("base64") from None


def _from_json(
    read: Read, row: int, decoder: "msgspec.json.Decoder[Any]", value: str | bytes
) -> Any:
    path = read.path(row)

    def explain(fault: Fault, _: Any) -> ContractViolationError:
        return violation_in(fault, path, row)

    written = value.encode() if isinstance(value, str) else value
    return decode(decoder, written, path, explain)


def _nested_rows(elements: list[Any], shape: list[int], kind: Any, read: Read) -> list[Any]:
    """Return the rows of a tensor of texts as nested lists, once each element is of the type."""
    try:
        values = msgspec.convert(elements, list[kind], dec_hook=dec_hook)
    except msgspec.ValidationError as error:
        fault = fault_in(error, elements)
        row = (first_index(fault.place) or 0) * read.rows // len(elements)
        raise violation_in(fault._replace(place=""), read.path(row), row) from None
    for size in reversed(shape[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size)]
    return values


def _nullable(spec: InputSpec, kind: Any) -> Any:
    return kind if spec.required else kind | None
