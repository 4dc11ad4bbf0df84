"""Documents of MLflow's scoring protocol with any values, made by Hypothesis."""

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["", "a", "1.5", "2024-01-01", "nan", "größe"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def documents(names: list[str]) -> st.SearchStrategy[Any]:
    """Make documents of the right form with any values, now and then with none of the form."""
    named = st.sampled_from([*names, "zzz"])
    records = st.lists(st.dictionaries(named, JSON_VALUES, max_size=len(names)), max_size=3)
    columns = st.dictionaries(named, st.lists(JSON_VALUES, max_size=3) | JSON_VALUES, max_size=3)
    split = st.fixed_dictionaries(
        {"data": st.lists(st.lists(JSON_VALUES, max_size=3), max_size=3)},
        optional={
            "columns": st.lists(named, max_size=3),
            "index": st.lists(JSON_VALUES, max_size=3),
        },
    )
    params: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.fixed_dictionaries(
        {"params": JSON_VALUES}
    )
    body = st.one_of(
        st.fixed_dictionaries({"dataframe_records": records | JSON_VALUES}),
        st.fixed_dictionaries({"dataframe_split": split}),
        st.fixed_dictionaries({"instances": records | JSON_VALUES}),
        st.fixed_dictionaries({"inputs": records | columns | JSON_VALUES}),
    )
    return st.builds(lambda one, more: {**one, **more}, body, params)


def column_names(row: object) -> list[str]:
    """Return the names that a model's columns have, of one of its rows; 'a' where it has none."""
    return list(row) if isinstance(row, dict) else ["a"]


def some_documents(names: Sequence[str], count: int) -> list[Any]:
    """Return so many documents, the same ones each time."""
    made: list[Any] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(documents(list(names)))
    def keep(document: Any) -> None:
        made.append(document)

    keep()
    return made[:count]
