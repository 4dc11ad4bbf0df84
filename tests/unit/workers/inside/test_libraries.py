"""What is done to load a model sooner, and that nobody else notices."""

import copy
import warnings
from pathlib import Path

import pytest
import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    import mlflow.models.model
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    from service.store import mlmodel
    from service.workers.inside import libraries


def test_mlflow_reads_a_model_s_file_as_we_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it writes the same, and only meanwhile."""
    Model(run_id="r1", flavors={"python_function": {"data": "ünï ✓"}}).save(tmp_path / "MLmodel")
    wanted = Model.load(str(tmp_path)).to_dict()
    read: list[object] = []

    def noted(stream: object) -> object:
        read.append(stream)
        return yaml.safe_load(stream)  # type: ignore[arg-type]

    monkeypatch.setattr(libraries, "safe_load", noted)
    own: object = mlflow.models.model.yaml
    with libraries.quick_yaml():
        assert Model.load(str(tmp_path)).to_dict() == wanted
        assert Model(run_id="r1").to_yaml()
    assert len(read) == 1
    assert mlflow.models.model.yaml is own is yaml
    with pytest.raises(ValueError, match="the model's"), libraries.quick_yaml():
        raise ValueError("the model's")
    assert mlflow.models.model.yaml is own


def test_a_model_s_own_yaml_is_untouched() -> None:
    """What its code adds to the loader while it loads is there when it predicts."""
    loader: object = yaml.SafeLoader
    with libraries.quick_yaml():
        assert yaml.SafeLoader is loader
        assert yaml.safe_load is not mlmodel.safe_load


def test_another_mlflow_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that knows YAML by another name."""
    monkeypatch.delattr(mlflow.models.model, "yaml")
    with libraries.quick_yaml():
        assert not hasattr(mlflow.models.model, "yaml")
    assert not hasattr(mlflow.models.model, "yaml")


def test_mlflow_reads_an_example_only_where_it_stands_for_a_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of another model, which a model's own code may load, is read as ever."""
    monkeypatch.setattr(Model, "load_input_example", lambda _, path=None: f"of {path}")
    mine = str(tmp_path)
    signature = ModelSignature(Schema([ColSpec("double", "a")]))
    plain, typed = Model(signature=signature), Model(signature=copy.copy(signature))
    typed.signature._is_type_hint_from_example = True
    with libraries.without_example(tmp_path):
        assert plain.load_input_example(mine) is None
        assert plain.load_input_example("other") == "of other"
        assert typed.load_input_example(mine) == f"of {mine}"
    assert plain.load_input_example(mine) == f"of {mine}"
