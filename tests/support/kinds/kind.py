"""What a kind of model is: how it is logged, and which rows it is asked."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, ParamSchema, Schema

Rng = np.random.Generator
Rows = Callable[[Rng, int], list[Any]]
"""Makes so many instances, as JSON has them."""

ROWS, COLUMNS, ARROW = "rows", "columns", "arrow"
NAMED = frozenset({ROWS, COLUMNS, ARROW})


@dataclass(frozen=True)
class Kind:
    """A model that is still to be saved.

    `forms` are those of a body that it takes. `asks` says how pyfunc is asked: by the frame of
    "records", by the arrays of "tensors", by the instances as a "list", or by a "request" each.
    """

    name: str
    save: Callable[[Path], object]
    rows: Rows
    forms: frozenset[str] = NAMED
    asks: str = "records"
    params: tuple[Mapping[str, Any], ...] = ()
    compiles: bool = False
    any_rows: bool = False
    nulls: bool = False
    """Whether it runs with NON_FINITE=null."""
    alone: bool = False
    """Whether its requests are never merged: it is not row-wise."""
    one_answer: bool = False
    """Whether the whole answer is that to one row."""
    lenient: str = ""
    """Why it is answered where MLflow raises."""


class Answers(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """A model that is a function of its frame, or of its frame and its parameters."""

    def __init__(self, function: Callable[..., Any], *, takes_params: bool = False) -> None:
        self.function = function
        self.takes_params = takes_params

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG002
        """Answer as the function does."""
        return (
            self.function(model_input, params) if self.takes_params else self.function(model_input)
        )


def save_python(
    path: Path,
    model: Any,
    inputs: Any = None,
    outputs: Any = None,
    params: Any = None,
    **more: Any,
) -> None:
    """Write a PythonModel with this signature, or with that of its type hints."""
    signature = None
    if inputs is not None:
        schema = ParamSchema(list(params)) if params else None
        signature = ModelSignature(
            Schema(list(inputs)), Schema(list(outputs)) if outputs else None, schema
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            path, python_model=model, signature=signature, pip_requirements=[], **more
        )


def column(kind: str, name: Any, *, required: bool = True) -> Any:
    """Return the spec of a column of scalars."""
    return ColSpec(kind, name, required=required)


def number(rng: Rng) -> float:
    """Return a number with few digits, so that JSON and Arrow have the same one."""
    return round(float(rng.normal(0, 10)), 3)
