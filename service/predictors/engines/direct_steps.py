"""Do the steps before an estimator on the columns themselves, without a frame.

Scalers and encoders are done by hand, a text's transformer is asked once for each text, others are
called on a matrix; only what needs a frame gets the frame that MLflow would make.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from service.contracts.contract import Call, Contract
from service.predictors.engines.columns import block_of, is_number, tabular
from service.predictors.engines.encoders import encoder
from service.predictors.engines.engine import Array, SkippedError, Transform
from service.predictors.engines.frames import dense, frame_of
from service.predictors.engines.model_parts import ModelParts, chain_of
from service.predictors.engines.scalers import OnMatrix, on_matrix
from service.predictors.engines.transform_cache import TransformCache
from service.predictors.inputs import column_names


class DirectSteps:
    """See Steps."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write nothing: all that is needed is in the model."""

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Transform:
        """Return the steps; see Steps."""
        del folder, threads
        contract = parts.contract
        first, *rest = parts.steps or (None,)
        if isinstance(first, ColumnTransformer):
            head = _columns(first, contract)
        else:
            rest = list(parts.steps)
            head = block_of(contract, order_of(parts))
        return _chained(head, [on_matrix(step) for step in rest])


def order_of(parts: ModelParts) -> list[int]:
    """Return the inputs in the order in which the first of the parts wants them."""
    contract = parts.contract
    first = (parts.steps or (parts.estimator,))[0]
    if type(first).__module__.partition(".")[0] in {"xgboost", "lightgbm"}:
        # They go by position: LightGBM ignores names, XGBoost refuses others than it knows.
        return list(range(len(contract.inputs)))
    return _indices(getattr(first, "feature_names_in_", None), contract)


def _indices(names: Any, contract: Contract) -> list[int]:
    ours = [spec.name for spec in contract.inputs]
    if names is None or not tabular(contract):
        return list(range(len(ours)))
    try:
        return [ours.index(str(name)) for name in names]
    except ValueError as error:
        raise SkippedError(f"the model was fitted on other columns: {error}") from error


def _columns(fitted: ColumnTransformer, contract: Contract) -> Transform:
    """Return what a ColumnTransformer does to a call: its parts, side by side."""
    if not tabular(contract):
        raise SkippedError("its columns are chosen from a tensor")
    order = _indices(getattr(fitted, "feature_names_in_", None), contract)
    chosen = fitted._transformer_to_input_indices  # noqa: SLF001 - the only place that resolves all
    parts: list[Transform] = []
    for name, transformer, columns in fitted.transformers_:
        indices = [order[index] for index in chosen[name]]
        if not indices or (isinstance(transformer, str) and transformer == "drop"):
            continue
        single = isinstance(columns, str | int)
        parts.append(_part(transformer, contract, indices, single=single))
    weights = fitted.transformer_weights
    if weights:
        raise SkippedError("its parts have weights")
    if len(parts) == 1:
        return parts[0]
    return lambda call: np.concatenate([part(call) for part in parts], axis=1)


def _part(transformer: Any, contract: Contract, indices: list[int], *, single: bool) -> Transform:
    """Return what one transformer does to its columns."""
    chain = chain_of(transformer)
    specs = [contract.inputs[index] for index in indices]
    if not single and chain and type(chain[0]) in {OneHotEncoder, OrdinalEncoder}:
        try:
            return _chained(encoder(chain[0], contract, indices), list(map(on_matrix, chain[1:])))
        except SkippedError:
            pass
    if all(map(is_number, specs)) and not single:
        return _chained(block_of(contract, indices), list(map(on_matrix, chain)))
    all_names = column_names(contract)
    named = [all_names[index] for index in indices]
    names: Any = named[0] if single else named
    if len(specs) == 1 and specs[0].type == "string":
        return TransformCache(contract, indices[0], names, chain)
    return _framed(contract, names, chain)


def _chained(head: Transform, links: Sequence[OnMatrix]) -> Transform:
    match list(links):
        case []:
            return head
        case [link]:
            return lambda call: link(head(call))
        case several:
            return lambda call: reduce(lambda matrix, link: link(matrix), several, head(call))


def _framed(contract: Contract, names: Any, chain: list[Any]) -> Callable[[Call], Array]:
    def run(call: Call) -> Array:
        transformed = frame_of(contract, call, names)
        for transformer in chain:
            transformed = transformer.transform(transformed)
        return dense(transformed)

    return run
