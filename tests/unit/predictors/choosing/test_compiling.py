"""What a model can be compiled to is found out, said, and opened again from files."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from service.contracts.contract import Call
from tests.support.model_zoo import ZOO, fitted, rows, targets
from tests.support.wrapped import Wrapped, by_name, wrap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from service.predictors.choosing.compiling import drop_unchosen
    from service.predictors.engines import catalog
    from service.predictors.engines.engine import Array, BeyondError, Estimate
    from service.predictors.engines.model_parts import ModelParts, unwrap
    from service.predictors.engines.trees import Trees
    from service.predictors.opening import open_engine, open_tuned
    from service.predictors.pyfunc import PyfuncPredictor


def a_forest(folder: Path) -> Wrapped:
    """Return a forest without steps before it."""
    model, inputs = fitted(ZOO["forest"])
    return wrap(model, inputs, folder)


def test_what_was_compiled_opens_from_its_files(tmp_path: Path) -> None:
    """With the same report, and the same answers at each size."""
    wrapped = a_forest(tmp_path / "model")
    report = wrapped.compile(tmp_path / "files")
    tuned, again = open_tuned(wrapped.model, wrapped.contract, tmp_path / "files", 2)
    assert again == report
    pyfunc = PyfuncPredictor(wrapped.model, wrapped.contract)
    for count in (1, 8, 64, 300):
        call = wrapped.call(rows(seed=3).head(count)[["a", "b", "n"]])
        np.testing.assert_allclose(
            np.frombuffer(tuned.predict(call).columns[0], "float64"),  # type: ignore[arg-type]
            np.frombuffer(pyfunc.predict(call).columns[0], "float64"),  # type: ignore[arg-type]
            rtol=1e-12,
        )
    assert not tuned.faults


def test_only_the_files_of_engines_that_are_chosen_are_kept(tmp_path: Path) -> None:
    """A load reads and checks all that is there; and opens it as before."""
    wrapped, files = a_forest(tmp_path / "model"), tmp_path / "files"
    report = wrapped.compile(files)
    assert (files / "llvm-forest").is_dir()
    report = msgspec.structs.replace(report, best={1: "trees", 8: "gone with the wind"})
    drop_unchosen(files, report)
    assert {path.name for path in files.iterdir()} == {"report.json", report.steps, "trees"}
    report = wrapped.compile(tmp_path / "again")
    drop_unchosen(tmp_path / "again", report)
    assert open_tuned(wrapped.model, wrapped.contract, tmp_path / "again", 2)[1] == report


def test_a_category_that_was_never_seen_is_left_to_the_model(tmp_path: Path) -> None:
    """Where the encoder refuses it, so that the caller gets the model's own error."""
    model, inputs = fitted(ZOO["extra trees of labels"])
    wrapped = wrap(model, inputs, tmp_path / "model")
    report = wrapped.compile(tmp_path / "files")
    assert by_name(report)["trees"].outcome == "admitted"
    # Rows that are left to the model are no rows to be timed with.
    assert set(by_name(report)["trees"].ms) == {1, 8, 64, 512, 4096}
    trees = open_engine(
        "trees", unwrap(wrapped.model, wrapped.contract), tmp_path / "files", 1, report.steps
    )
    row = wrapped.call(inputs.head(1))
    index = [spec.name for spec in wrapped.contract.inputs].index("color")
    row.columns[index] = ["mauve"]
    with pytest.raises(BeyondError):
        trees.predict(row)


class _OffByALittle(Trees):
    """A forest whose sums are wrong in one row of many."""

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        right = super().open(parts, folder, threads)

        def estimate(matrix: Array) -> Any:
            return right(matrix) * np.where(matrix[:, 0] > 6, 1 + 1e-9, 1)

        return estimate


class _Broken(Trees):
    """A converter that fails."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        del parts, folder
        raise TypeError("Descriptors cannot be created directly.\nIf this call came from")


def test_a_wrong_engine_is_refused_with_its_row_and_a_broken_one_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither keeps the others from being verified."""
    engines = {
        "off": f"{__name__}:_OffByALittle",
        "broken": f"{__name__}:_Broken",
        "trees": "trees:Trees",
    }
    monkeypatch.setattr(catalog, "ENGINES", engines)
    told = by_name(a_forest(tmp_path / "model").compile(tmp_path / "files"))
    assert told["off"].outcome == "refused"
    assert "prediction is " in told["off"].reason or "near a threshold" in told["off"].reason
    assert told["broken"].outcome == "skipped"
    assert told["broken"].reason == "TypeError: Descriptors cannot be created directly."
    assert told["trees"].outcome == "admitted"


def test_without_the_extra_the_reason_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines that need no library are there all the same."""
    real = importlib.import_module

    def refuse(name: str, package: str | None = None) -> Any:
        if name.partition(".")[0] in {"llvmlite", "onnx", "onnxruntime", "skl2onnx", "treelite"}:
            raise ImportError(f"No module named {name!r}")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", refuse)
    told = by_name(a_forest(tmp_path / "model").compile(tmp_path / "files"))
    assert told["trees"].outcome == told["native"].outcome == "admitted"
    for name in ("llvm forest", "llvm forest in threads"):
        assert told[name].outcome == "skipped"
        assert told[name].reason.endswith("install mlflow-hotswap[compiled]")


def test_a_model_of_another_flavour_is_called_through_mlflow(tmp_path: Path) -> None:
    """The reason says so, and pyfunc answers every size."""
    wrapped = a_forest(tmp_path / "model")
    wrapped.model.metadata.flavors["python_function"]["loader_module"] = "mlflow.pytorch"
    report = wrapped.compile(tmp_path / "files")
    assert [one.name for one in report.predictors if one.outcome == "admitted"] == ["pyfunc"]
    assert "models of mlflow.pytorch" in report.predictors[1].reason
    assert set(report.best.values()) == {"pyfunc"}


def test_features_that_are_too_many_to_lay_out_are_left_sparse(
    tmp_path: Path,
) -> None:
    """The model is called as it is, unwrapped."""
    model, inputs = fitted(ZOO["forest behind words"])
    report = wrap(model, inputs, tmp_path / "model").compile(tmp_path / "files", most_features=7)
    assert report.steps == ""
    assert all("8 features are too many" in one.reason for one in report.steps_tried)
    assert by_name(report)["trees"].outcome == "skipped"
    assert by_name(report)["native"].outcome == "admitted"


def _fit_of_batch(data: Any) -> Any:
    return data - data.mean()


def test_a_model_whose_rows_are_not_its_own_is_not_compiled_wrongly(tmp_path: Path) -> None:
    """A step over all rows of a batch gives other answers in other batches."""
    data = rows()
    inputs, y = data[["a", "b"]], targets(data)["y"]
    model = make_pipeline(FunctionTransformer(_fit_of_batch), StandardScaler(), LinearRegression())
    report = wrap(model.fit(inputs, y), inputs, tmp_path / "model").compile(tmp_path / "files")
    verified = {one.name for one in report.predictors if one.outcome == "admitted"}
    assert verified == {"pyfunc"}


def test_missing_values_are_answered_as_the_model_does(tmp_path: Path) -> None:
    """In an optional column NaN is a value of its own for trees."""
    data = rows()
    inputs = data[["a", "b"]].astype("float64")
    inputs.loc[::7, "a"] = np.nan
    model = RandomForestRegressor(5, random_state=0).fit(inputs, targets(data)["y"])
    wrapped = wrap(model, inputs, tmp_path / "model")
    report = wrapped.compile(tmp_path / "files")
    assert by_name(report)["trees"].outcome == "admitted"
    call = Call(1, [np.array([np.nan]).tobytes(), np.array([1.0]).tobytes()])
    parts = unwrap(wrapped.model, wrapped.contract)
    trees = open_engine("trees", parts, tmp_path / "files", 1, report.steps)
    assert trees.predict(call) == PyfuncPredictor(wrapped.model, wrapped.contract).predict(call)
    compiled = open_engine("llvm forest", parts, tmp_path / "files", 1, report.steps)
    assert compiled.predict(call) == trees.predict(call)
