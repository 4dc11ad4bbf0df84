"""Answers of another number of rows, and without a finite number, where the settings allow them."""

import pyarrow as pa
import pytest

from tests.support.python_models import ZOO
from tools.arrow_bodies import ARROW, stream, table_of
from tools.mlflow_server import MlflowServer, unique_name
from tools.python_models import register_python_model
from tools.running_service import start

EXPECTED = [{"y": 2.0}, {"y": 3.0}, {"y": None}]


def _registered(server: MlflowServer) -> str:
    name = unique_name("forecast")
    return f"models:/{name}/{register_python_model(server, name, ZOO, {'kind': 'forecast'})}"


def test_a_forecast_is_answered_whole(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With ROWS_OUT=any and NON_FINITE=null, in each form of body and of answer."""
    with start(
        tmp_path_factory.mktemp("forecast"),
        mlflow_server.uri,
        model_uri=_registered(mlflow_server),
        rows_out="any",
        non_finite="null",
    ) as service:
        answer = service.predict({"a": 1.0})
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] == EXPECTED
        answer = service.post("/predict", {"columns": {"a": [1.0]}})
        assert answer.json()["predictions"] == {"y": [2.0, 3.0, None]}
        body = stream({"a": pa.array([1.0])})
        answer = service.client.post("/predict", content=body, headers={"content-type": ARROW})
        assert table_of(answer.content).to_pylist() == EXPECTED
        assert service.info()["serving"]["predictors"]["state"] == "pyfunc"


def test_a_forecast_is_refused_otherwise(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By a sentence that names the setting."""
    with start(
        tmp_path_factory.mktemp("refused"),
        mlflow_server.uri,
        wait=False,
        model_uri=_registered(mlflow_server),
    ) as service:
        service.wait_until(
            lambda: "ROWS_OUT=any" in service.get("/health").json()["error"], "it is refused"
        )
