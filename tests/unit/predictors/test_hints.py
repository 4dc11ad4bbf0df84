"""What a type hint says beyond the signature that MLflow derives from it."""

import json
import warnings
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest

from service.contracts.choose import contract_for
from service.core.errors import ContractViolationError
from service.predictors.hints import with_defaults
from tests.support.envelopes import decoded

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from mlflow.types.type_hints import _infer_schema_from_list_type_hint


class Inner(pydantic.BaseModel):
    """An object within another."""

    a: int = 3


class Item(pydantic.BaseModel):
    """Fields with and without a default."""

    name: str
    count: int = 2
    note: str | None = None
    inner: Inner = Inner()
    more: list[Inner] = []
    by_key: dict[str, Inner]


def model(hint: Any, *, hinted: bool = True) -> Any:
    """Return what is asked of a loaded model."""
    python_model = SimpleNamespace(predict_type_hints=SimpleNamespace(input=hint))
    return SimpleNamespace(
        metadata=SimpleNamespace(_is_signature_from_type_hint=lambda: hinted),
        _model_impl=SimpleNamespace(python_model=python_model),
    )


SIGNATURE = {
    "inputs": _infer_schema_from_list_type_hint(list[Item]).to_dict(),
    "outputs": None,
    "params": None,
}
HINTED = contract_for("m", with_defaults(SIGNATURE, model(list[Item])), refuse_unknown=False)


def decode(**item: Any) -> Any:
    """Decode a request of one item."""
    return decoded(HINTED, json.dumps({"instances": [[item]]}).encode()).columns[0][0]


def test_a_field_with_a_default_may_be_left_out() -> None:
    """At any depth: pydantic has the default."""
    item = {"name": "x", "by_key": {"k": {}}}
    assert decode(**item) == item
    assert decode(**item, more=[{}, {"a": 1}], inner={}) == {
        **item,
        "more": [{}, {"a": 1}],
        "inner": {},
    }
    assert decode(**item, note=None) == {**item, "note": None}


@pytest.mark.parametrize(
    ("item", "path"),
    [
        ({"by_key": {}}, "instances[0][0].name"),
        ({"name": "x", "by_key": {}, "count": None}, "instances[0][0].count"),
        ({"name": "x", "by_key": {}, "inner": {"a": "b"}}, "instances[0][0].inner.a"),
    ],
)
def test_what_has_no_default_or_another_type_is_refused(item: dict[str, Any], path: str) -> None:
    """Null is no default."""
    with pytest.raises(ContractViolationError) as raised:
        decode(**item)
    assert raised.value.path == path


def test_other_models_keep_their_signature() -> None:
    """Those whose signature is not from their hint, or whose hint is not a list of one type."""
    assert with_defaults(SIGNATURE, model(list[Item], hinted=False)) is SIGNATURE
    assert with_defaults(SIGNATURE, model(None)) is SIGNATURE
    assert with_defaults(SIGNATURE, model(list)) is SIGNATURE
    lone = {"inputs": [{"type": "string"}], "outputs": None, "params": None}
    assert with_defaults(lone, model(list[str])) == lone
