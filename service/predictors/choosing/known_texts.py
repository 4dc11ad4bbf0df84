"""Find the texts that a model's transformers know, for each column of its input."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sklearn.compose import ColumnTransformer

from service.predictors.engines.direct_steps import order_of
from service.predictors.engines.model_parts import ModelParts, chain_of

_MOST = 1000


def known_texts(parts: ModelParts) -> dict[int, list[str]]:
    """Return categories and words by the index of the input that they belong to."""
    if not parts.steps:
        return {}
    first, order = parts.steps[0], order_of(parts)
    found: dict[int, set[str]] = {}
    if isinstance(first, ColumnTransformer):
        chosen = first._transformer_to_input_indices  # noqa: SLF001 - the only place that has all
        for name, transformer, _ in first.transformers_:
            if not isinstance(transformer, str):
                _collect(found, chain_of(transformer), [order[at] for at in chosen[name]])
    else:
        _collect(found, chain_of(first), order)
    return {index: sorted(texts)[:_MOST] for index, texts in found.items()}


def _collect(found: dict[int, set[str]], chain: Iterable[Any], indices: Sequence[int]) -> None:
    for transformer in chain:
        for index, categories in zip(
            indices, getattr(transformer, "categories_", ()), strict=False
        ):
            found.setdefault(index, set()).update(_texts(categories))
        for index in indices[:1]:
            found.setdefault(index, set()).update(_texts(getattr(transformer, "vocabulary_", ())))


def _texts(values: Iterable[Any]) -> Iterator[str]:
    return (str(value) for value in values if isinstance(value, str))
