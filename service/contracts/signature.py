"""A model's signature, as MLflow writes it into MLmodel, read without MLflow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from service.contracts.columns import column_dtype
from service.contracts.contract import InputSpec, Layout, OutputSpec
from service.contracts.mlflow_types import element_type, nested_type
from service.core.errors import SignatureError

# Without "signature=", after which a credential may follow, so that it would not be shown.
WHAT_TO_LOG = (
    "log it with mlflow.models.infer_signature(X, y) as its signature, or with an input_example"
)
DEFAULT_OUTPUT = "prediction"
_MAX_BYTES = 2_000_000
"""Of a signature as JSON: those of some ten thousand columns have less."""


def parse(signature: dict[str, Any] | None) -> dict[str, Any]:
    """Return `inputs`, `outputs` and `params` as lists (or None), whatever form they came in.

    Raise SignatureError where there are no inputs, or what is there is no signature.
    """
    parsed: dict[str, Any] = {}
    for part in ("inputs", "outputs", "params"):
        value = (signature or {}).get(part)
        if isinstance(value, str):
            try:
                value = msgspec.json.decode(value)
            except (msgspec.DecodeError, ValueError, RecursionError):
                raise SignatureError(f"the signature's {part} are no JSON: {WHAT_TO_LOG}") from None
        if value and not (isinstance(value, list) and all(isinstance(v, dict) for v in value)):
            raise SignatureError(f"the signature's {part} are no list of specs: {WHAT_TO_LOG}")
        parsed[part] = value or None
    try:
        size_bytes = len(msgspec.json.encode(parsed))
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise SignatureError(f"the signature is no plain JSON: {WHAT_TO_LOG}") from None
    if size_bytes > _MAX_BYTES:
        raise SignatureError(
            f"the signature has {size_bytes} bytes, and {_MAX_BYTES} are read: log the model with "
            "fewer columns, or with one tensor"
        )
    if not parsed["inputs"]:
        raise SignatureError(f"the model has no input signature: {WHAT_TO_LOG}")
    return parsed


@contextmanager
def being_read() -> Iterator[None]:
    """Raise SignatureError for whatever reading a signature that is no such thing raises."""
    try:
        yield
    except (
        *(KeyError, TypeError, AttributeError, ValueError, IndexError),
        *(OverflowError, RecursionError),
    ) as error:
        raise SignatureError(
            f"the signature cannot be read ({type(error).__name__}: {error}): {WHAT_TO_LOG}"
        ) from error


def layout_of(inputs: list[dict[str, Any]]) -> Layout:
    """Return the form in which the model takes these inputs."""
    named = [bool(spec.get("name") is not None) for spec in inputs]
    tensors = [spec.get("type") == "tensor" for spec in inputs]
    # JSON has one name for the number 1 and the text "1".
    names = [str(spec["name"]) for spec in inputs if spec.get("name") is not None]
    if any(named) != all(named) or any(tensors) != all(tensors):
        raise SignatureError("the signature mixes named with unnamed inputs, or tensors with none")
    if len(set(names)) < len(names):
        raise SignatureError("the signature has two inputs of one name")
    if not all(tensors):
        return Layout.COLUMNS if all(named) else Layout.POSITIONAL
    if all(named):
        return Layout.TENSORS
    if len(inputs) > 1:
        raise SignatureError("the signature has several tensors without names")
    return Layout.TENSOR


def input_specs(inputs: list[dict[str, Any]]) -> tuple[InputSpec, ...]:
    """Return the inputs in the signature's order; an unnamed one is called by its position."""
    return tuple(_input_spec(index, spec) for index, spec in enumerate(inputs))


def _input_spec(index: int, spec: dict[str, Any]) -> InputSpec:
    name = str(spec.get("name", index))
    kind = str(spec.get("type"))
    if kind != "tensor":
        nested_type(spec)  # refuses what cannot be served
        required = spec.get("required") is not False
        return InputSpec(name, kind, required, column_dtype(kind, required=required))
    dtype, shape = spec["tensor-spec"]["dtype"], tuple(spec["tensor-spec"]["shape"])
    if not shape:
        raise SignatureError(f"the signature's tensor {name!r} has no dimension for rows")
    # A dimension that may vary from row to row leaves no common shape: such rows stay lists.
    buffered = element_type(dtype)[1] and all(size >= 0 for size in shape[1:])
    return InputSpec(name, kind, True, dtype if buffered else "", shape[1:])  # noqa: FBT003


def fixed_rows(inputs: list[dict[str, Any]]) -> int | None:
    """Return how many rows each call must have, for a tensor whose first dimension is fixed."""
    for spec in inputs:
        if spec.get("type") == "tensor" and spec["tensor-spec"]["shape"][0] >= 0:
            return int(spec["tensor-spec"]["shape"][0])
    return None


def output_specs(outputs: list[dict[str, Any]] | None) -> tuple[OutputSpec, ...]:
    """Return the outputs; unnamed ones are one `prediction`, a list where they are several."""
    if not outputs:
        return ()
    if all(spec.get("name") is not None for spec in outputs):
        return tuple(OutputSpec(str(spec["name"]), _word(spec)) for spec in outputs)
    if len(outputs) == 1:
        return (OutputSpec(DEFAULT_OUTPUT, _word(outputs[0])),)
    return (OutputSpec(DEFAULT_OUTPUT, "array"),)


def _word(spec: dict[str, Any]) -> str:
    return str(spec.get("type", ""))
