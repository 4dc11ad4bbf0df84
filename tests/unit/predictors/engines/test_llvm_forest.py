"""The compiled forest gives the very bits of scikit-learn's, for any number of rows."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from tests.support.wrapped import wrap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    import pandas as pd

    from service.predictors.engines import llvm_forest, tree_walk
    from service.predictors.engines.engine import BeyondError, SkippedError
    from service.predictors.engines.llvm_forest import LlvmForest, LlvmForestInThreads
    from service.predictors.engines.model_parts import ModelParts, unwrap
    from service.predictors.engines.tree_walk import ordered


def drawn(count: int, seed: int) -> pd.DataFrame:
    """Return rows of which many are equal in a feature, and so lie at thresholds."""
    rng = np.random.default_rng(seed)
    columns = {
        "a": rng.normal(0, 1e6, count),
        "b": rng.integers(0, 9, count) / 3,
        "c": rng.lognormal(0, 5, count),
    }
    return pd.DataFrame(columns)


def parts_of(estimator: Any, target: Any, folder: Path, inputs: pd.DataFrame) -> ModelParts:
    """Fit an estimator, and take it apart as a compiler does."""
    wrapped = wrap(estimator.fit(inputs, target), inputs, folder)
    return unwrap(wrapped.model, wrapped.contract)


def forests() -> dict[str, Any]:
    """Return forests of several kinds."""
    return {
        "of numbers": RandomForestRegressor(9, random_state=0),
        "of stumps": RandomForestRegressor(3, max_depth=1, random_state=0),
        "of classes": RandomForestClassifier(7, random_state=0),
        "of labels without a bootstrap": ExtraTreesClassifier(5, random_state=0),
        "a tree": DecisionTreeRegressor(random_state=0),
    }


@pytest.mark.parametrize("kind", forests())
@pytest.mark.parametrize("outputs", [1, 2])
def test_any_number_of_rows_gets_the_bits_of_scikit_learn(
    kind: str, outputs: int, tmp_path: Path
) -> None:
    """Groups of twelve, eight, four, two and one, and rows at thresholds."""
    inputs = drawn(200, 1)
    estimator = forests()[kind]
    target: Any = np.column_stack([inputs["a"] + inputs["c"], inputs["b"] * inputs["c"]])[
        :, :outputs
    ]
    if hasattr(estimator, "predict_proba"):
        target = np.where(target > np.median(target, axis=0), "high", "low")
    target = target.ravel() if outputs == 1 else target
    parts = parts_of(estimator, target, tmp_path, inputs)
    others = pd.concat([inputs, drawn(100, 2)])
    for engine, threads in ((LlvmForest(), 1), (LlvmForestInThreads(), 3)):
        estimate = engine.open(parts, tmp_path, threads)
        for rows in (0, 1, 2, 3, 7, 8, 9, 12, 20, 31, len(others)):
            part = others.head(rows)
            found = estimate(part.to_numpy(np.float64))
            wanted = estimator.predict(part) if rows else found
            assert np.array_equal(found, wanted), (type(engine).__name__, rows)


def test_a_tree_that_learnt_nothing_answers_by_its_only_leaf(tmp_path: Path) -> None:
    """A root without children."""
    inputs = drawn(30, 1)
    parts = parts_of(RandomForestRegressor(3), np.full(30, 0.1), tmp_path, inputs)
    estimate = LlvmForest().open(parts, tmp_path, 1)
    assert (estimate(inputs.to_numpy()) == parts.estimator.predict(inputs)).all()


def test_missing_values_go_where_the_trees_send_them(tmp_path: Path) -> None:
    """Some to the left, some to the right, as they learnt it."""
    inputs = drawn(200, 1)
    target = inputs["a"].to_numpy().copy()
    inputs.loc[inputs["a"] > 1e6, "a"] = np.nan
    inputs.loc[inputs["b"] < 1, "b"] = np.nan
    estimator = RandomForestRegressor(9, random_state=0)
    parts = parts_of(estimator, target, tmp_path, inputs)
    estimate = LlvmForest().open(parts, tmp_path, 1)
    assert np.array_equal(estimate(inputs.to_numpy()), estimator.predict(inputs))


def test_what_scikit_learn_refuses_is_left_to_it(tmp_path: Path) -> None:
    """An infinite feature, or one beyond single precision."""
    inputs = drawn(30, 1)
    parts = parts_of(RandomForestRegressor(3), inputs["a"], tmp_path, inputs)
    estimate = LlvmForest().open(parts, tmp_path, 1)
    for value in (np.inf, -np.inf, 1e39):
        for at in range(3):
            row = np.zeros((2, 3))
            row[1, at] = value
            with pytest.raises(BeyondError):
                estimate(row)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "longdouble", "int64", ">f8"])
def test_a_feature_of_any_type_is_rounded_once(kind: str, tmp_path: Path) -> None:
    """As scikit-learn rounds it: by way of a double some whole numbers would become others."""
    large = 2**60
    inputs = pd.DataFrame({"a": [float(large), float(large + 2**37), -0.0, 1e-45] * 5})
    estimator = RandomForestRegressor(1, bootstrap=False, random_state=0)
    parts = parts_of(estimator, [0.0, 1.0, 2.0, 3.0] * 5, tmp_path, inputs)
    numbers: list[Any] = [0.0, -0.0, 1.0, 3.0]
    if np.dtype(kind).itemsize > 2:
        numbers += [large, large + 2**36 + 1, large + 2**37]
    matrix = np.array(numbers, kind).reshape(-1, 1)
    (tree,) = estimator.estimators_
    wanted = tree.tree_.predict(np.ascontiguousarray(matrix, np.float32))
    assert np.array_equal(LlvmForest().open(parts, tmp_path, 1)(matrix), wanted.ravel())


def test_rows_of_another_width_are_not_read(tmp_path: Path) -> None:
    """The code would read beyond their end."""
    inputs = drawn(30, 1)
    parts = parts_of(RandomForestRegressor(3), inputs["a"], tmp_path, inputs)
    estimate = LlvmForest().open(parts, tmp_path, 1)
    with pytest.raises(ValueError, match="2 features for a forest of 3"):
        estimate(np.zeros((4, 2)))


def test_thresholds_beyond_single_precision_are_compared_as_they_are(tmp_path: Path) -> None:
    """A float is at most a double exactly where it is at most the float below that double."""
    inputs = drawn(64, 1)
    estimator = RandomForestRegressor(1, bootstrap=False, random_state=0)
    parts = parts_of(estimator, inputs["a"], tmp_path, inputs)
    tree = estimator.estimators_[0].tree_
    singles = tree.threshold.astype(np.float32)
    around = np.concatenate(
        [np.nextafter(singles, np.float32(way)) for way in (-np.inf, np.inf)] + [singles]
    )
    matrix = np.zeros((len(around), 3))
    for feature in range(3):
        matrix[:, feature] = around
    estimate = LlvmForest().open(parts, tmp_path, 1)
    wanted = tree.predict(np.ascontiguousarray(matrix, np.float32))
    assert np.array_equal(estimate(matrix), wanted.ravel())


def test_threads_are_no_engine_for_a_worker_that_has_one(tmp_path: Path) -> None:
    """The reason says so."""
    inputs = drawn(30, 1)
    parts = parts_of(RandomForestRegressor(3), inputs["a"], tmp_path, inputs)
    with pytest.raises(SkippedError, match="one thread"):
        LlvmForestInThreads().open(parts, tmp_path, 1)


def test_whole_numbers_stand_in_the_order_of_their_floats() -> None:
    """Both zeros are one, and the smallest of numbers are told apart."""
    rng = np.random.default_rng(0)
    tiny = np.float32(1e-45)
    floats = np.concatenate(
        [
            np.array([0.0, -0.0, tiny, -tiny, 1.0, -1.0], np.float32),
            rng.normal(0, 1, 40).astype(np.float32),
            np.finfo(np.float32).max * np.array([1, -1], np.float32),
        ]
    )
    words = ordered(floats)
    assert words.dtype == np.int32
    assert np.array_equal(floats[:, None] <= floats, words[:, None] <= words)


def test_its_code_is_opened_from_its_file_where_it_was_made_for_this_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load compiles nothing; on a CPU of another kind, or without the file, it does."""
    inputs = drawn(50, 1)
    estimator = RandomForestRegressor(3, random_state=0)
    parts = parts_of(estimator, inputs["a"], tmp_path / "model", inputs)
    folder = tmp_path / "files"
    folder.mkdir()
    LlvmForest().convert(parts, folder)
    matrix = inputs.to_numpy()
    wanted = estimator.predict(inputs)
    compiled: list[int] = []
    itself = tree_walk.compile_walk

    def counted(features: int, outputs: int) -> bytes:
        compiled.append(features)
        return itself(features, outputs)

    monkeypatch.setattr(llvm_forest, "compile_walk", counted)
    assert np.array_equal(LlvmForest().open(parts, folder, 1)(matrix), wanted)
    assert not compiled
    monkeypatch.setattr(llvm_forest, "machine_name", lambda: "another")
    assert np.array_equal(LlvmForest().open(parts, folder, 1)(matrix), wanted)
    assert compiled == [3]
