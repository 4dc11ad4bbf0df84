"""Models other than forests, on data sets that scikit-learn ships, answered as pyfunc answers.

They are versions of one registered model, so that one service serves them all, one by one.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.python_models import ZOO
from tools.arrow_bodies import ARROW, JSON, stream, table_of
from tools.mlflow_server import MlflowServer, unique_name
from tools.python_models import register_python_model
from tools.running_service import RunningService, start

ALIAS = "shown"
ARROW_TYPES = {
    "double": pa.float64(),
    "long": pa.int64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
}


@dataclass
class Zoo:
    """A service whose model changes its kind with each promotion."""

    server: MlflowServer
    service: RunningService
    name: str
    first_health: httpx.Response

    def show(self, version: str) -> Any:
        """Promote a version and wait until it serves; return it as mlflow.pyfunc loads it."""
        self.server.set_alias(self.name, ALIAS, version)
        answer = self.service.post("/reload-model")
        assert answer.status_code == 200, answer.text
        assert answer.json()["model_version"] == version
        with self.server.active() as mlflow:
            return mlflow.pyfunc.load_model(f"models:/{self.name}/{version}")

    def show_sklearn(self, model: Any, example: Any) -> Any:
        """Log a fitted estimator with the signature that its example shows, and show it."""
        with self.server.active() as mlflow:
            version = self.server.register(
                self.name,
                mlflow.sklearn.log_model,
                sk_model=model,
                signature=mlflow.models.infer_signature(example, model.predict(example)),
                input_example=example,
                serialization_format="cloudpickle",
            )
        return self.show(version)

    def show_python(self, kind: str, example: Any, signature: Any) -> Any:
        """Log one of the custom models, and show it."""
        version = register_python_model(
            self.server, self.name, ZOO, {"kind": kind}, example=example, signature=signature
        )
        return self.show(version)

    def answers(self, instances: list[Any], **more: object) -> list[dict[str, Any]]:
        """Return the predictions, which are the same in every form that the model takes."""
        answer = self.service.predict(*instances, **more)
        assert answer.status_code == 200, answer.text
        predictions: list[dict[str, Any]] = answer.json()["predictions"]
        if isinstance(instances[0], dict):
            self._ask_in_other_forms(instances, predictions, **more)
        return predictions

    def _ask_in_other_forms(
        self, instances: list[Any], predictions: list[dict[str, Any]], **more: object
    ) -> None:
        """Send the same rows as columns and as an Arrow stream, and compare the answers."""
        expected = {name: [row[name] for row in predictions] for name in predictions[0]}
        names = dict.fromkeys(name for row in instances for name in row)
        columns = {name: [row.get(name) for row in instances] for name in names}
        answer = self.service.post("/predict", {"columns": columns, **more})
        assert_same(answer.json()["predictions"], expected)
        inputs = self.service.info()["serving"]["signature"]["inputs"]
        kinds = {spec["name"]: spec["type"] for spec in inputs}
        body = stream(
            {name: arrow_column(values, kinds[name]) for name, values in columns.items()},
            metadata={"hotswap.params": json.dumps(more.get("params", {}))},
        )
        for accept in (JSON, ARROW):
            headers = {"content-type": ARROW, "accept": accept}
            answer = self.service.client.post("/predict", content=body, headers=headers)
            assert answer.status_code == 200, answer.text
            if accept == JSON:
                assert_same(answer.json()["predictions"], expected)
            else:
                table = table_of(answer.content)
                # Moments of nanoseconds come as pandas has them.
                answered = msgspec.json.encode(
                    table.to_pydict(), enc_hook=lambda moment: moment.to_pydatetime()
                )
                assert_same(json.loads(answered), expected)

    def fault(self, *instances: Any, **more: object) -> dict[str, Any]:
        """Return the problem that a request is answered with."""
        answer = self.service.predict(*instances, **more)
        assert answer.status_code == 400, answer.text
        told: dict[str, Any] = answer.json()
        return told


def assert_same(answered: dict[str, list[Any]], expected: dict[str, list[Any]]) -> None:
    """Compare answers by columns: numbers but for the last bits.

    How a linear model's products are summed up depends on where its rows lie in memory.
    """
    assert answered.keys() == expected.keys()
    for name, values in expected.items():
        if all(isinstance(value, float) for value in values):
            np.testing.assert_allclose(answered[name], values, rtol=1e-13)
        else:
            assert answered[name] == values


@pytest.fixture(scope="module")
def zoo(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """Start with a model that has no signature, which is refused; the tests promote others."""
    name = unique_name("zoo")
    with mlflow_server.active() as mlflow:
        version = mlflow_server.register(
            name,
            mlflow.sklearn.log_model,
            sk_model=LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]),
            serialization_format="cloudpickle",
        )
    mlflow_server.set_alias(name, ALIAS, version)
    with start(
        tmp_path_factory.mktemp("zoo"),
        mlflow_server.uri,
        wait=False,
        model_uri=f"models:/{name}@{ALIAS}",
        on_contract_change="allow",
        # Of a compiled predictor, which may be taken into use between two forms, more bits differ.
        compiled="off",
    ) as service:
        service.wait_until(
            lambda: "was refused" in service.get("/health").json()["error"], "the first is refused"
        )
        yield Zoo(mlflow_server, service, name, service.get("/health"))


@pytest.fixture
def infer(mlflow_server: MlflowServer) -> Iterator[Callable[..., Any]]:
    """Give MLflow's way to read a signature off data."""
    with mlflow_server.active() as mlflow:
        yield mlflow.models.infer_signature


def arrow_column(values: list[Any], kind: str) -> Any:
    """Return values as an Arrow column of the type that an input has."""
    if kind != "datetime":
        return pa.array(values, ARROW_TYPES[kind])
    return pa.array([datetime.fromisoformat(value) for value in values], pa.timestamp("us", "UTC"))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows as a caller writes them."""
    rows: list[dict[str, Any]] = frame.to_dict(orient="records")  # type: ignore[assignment]
    return rows


def test_a_model_without_a_signature_is_refused_with_what_to_log(zoo: Zoo) -> None:
    """Health names the version and the sentence: nothing was served before."""
    assert zoo.first_health.status_code == 503
    error = zoo.first_health.json()["error"]
    assert error.startswith("version 1 was refused: ")
    assert "has no input signature" in error
    assert "mlflow.models.infer_signature(X, y)" in error
    assert "input_example" in error


def test_a_classifier_answers_its_labels(zoo: Zoo) -> None:
    """Wine by cultivar: strings come back as strings, under `prediction`."""
    wine = load_wine(as_frame=True)
    labels = pd.Series(wine.target_names)[wine.target].to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(wine.data, labels)
    pyfunc = zoo.show_sklearn(model, wine.data.head(5))
    rows = wine.data.iloc[::9]
    expected = [{"prediction": str(label)} for label in pyfunc.predict(rows)]
    assert len({row["prediction"] for row in expected}) == 3
    assert zoo.answers(records(rows)) == expected


def test_a_custom_model_answers_by_its_own_names(zoo: Zoo, infer: Callable[..., Any]) -> None:
    """A PythonModel over the diabetes data, with a number and a word for each patient."""
    patients = load_diabetes(as_frame=True).data
    outputs = pd.DataFrame({"score": [1.0], "band": ["high"]})
    pyfunc = zoo.show_python("risk", patients.head(4), infer(patients, outputs))
    rows = patients.head(40)
    expected = pyfunc.predict(rows)
    answers = zoo.answers(records(rows))
    assert [row["band"] for row in answers] == list(expected["band"])
    np.testing.assert_allclose([row["score"] for row in answers], expected["score"], rtol=1e-9)


def test_a_model_that_is_not_row_wise_is_never_batched(zoo: Zoo, infer: Callable[..., Any]) -> None:
    """It subtracts the batch's mean: among eight clients, each answer is the one it gets alone."""
    patients = load_diabetes(as_frame=True).data[["bmi"]]
    pyfunc = zoo.show_python("demeaned", patients.head(4), infer(patients, np.array([0.5])))
    assert zoo.service.info()["serving"]["batched"] is False
    reasons = [verdict["reason"] for verdict in zoo.service.info()["promotions"][0]["verdicts"]]
    assert any("not batched" in reason for reason in reasons)

    def ask(client: int) -> None:
        for turn in range(10):
            rows = patients.iloc[client * 20 + turn : client * 20 + turn + 2 + client]
            answers = [row["prediction"] for row in zoo.answers(records(rows))]
            np.testing.assert_allclose(answers, pyfunc.predict(rows), rtol=1e-9)

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(ask, range(8)))


def test_optional_columns_may_be_absent_null_or_present(
    zoo: Zoo, mlflow_server: MlflowServer
) -> None:
    """All three in one request; a required one may not."""
    with mlflow_server.active() as mlflow:
        types = mlflow.types
        inputs = types.Schema(
            [
                types.ColSpec("double", "price"),
                types.ColSpec("double", "discount", required=False),
                types.ColSpec("string", "note", required=False),
                types.ColSpec("long", "count", required=False),
            ]
        )
        signature = mlflow.models.ModelSignature(inputs=inputs)
    full = pd.DataFrame({"price": [4.0], "discount": [0.5], "note": ["x"], "count": [3]})
    pyfunc = zoo.show_python("optional", full, signature)
    instances: list[dict[str, Any]] = [
        {"price": 4.0},
        {"price": 4, "discount": None, "note": None, "count": None},
        {"price": 8.0, "discount": 0.25, "note": "hello", "count": 7},
    ]
    assert zoo.answers(instances) == [
        {"price": 4.0, "note": "-", "has_count": False},
        {"price": 4.0, "note": "-", "has_count": False},
        {"price": 6.0, "note": "HELLO", "has_count": True},
    ]
    assert zoo.answers(instances[2:]) == records(pyfunc.predict(pd.DataFrame(instances[2:])))
    assert zoo.fault({"discount": 0.1})["path"] == "instances[0].price"
    assert zoo.fault({"price": None})["got"] == "null"
    assert zoo.fault({"price": 1.0, "count": 1.5})["path"] == "instances[0].count"


def test_params_have_their_defaults_and_their_types(zoo: Zoo, infer: Callable[..., Any]) -> None:
    """Left out, given in part, given in full; of the wrong type they are refused by name."""
    example, defaults = pd.DataFrame({"a": [1.0]}), {"factor": 2.0, "shift": 1, "unit": "kg"}
    signature = infer(example, pd.DataFrame({"y": [1.0], "unit": ["kg"]}), defaults)
    pyfunc = zoo.show_python("params", example, signature)
    rows = pd.DataFrame({"a": [1.0, 2.5]})
    for given in ({}, {"shift": 5}, {"factor": 0.5, "shift": -1, "unit": "lb"}):
        answers = zoo.answers(records(rows), params=given)
        assert answers == records(pyfunc.predict(rows, params=given))
    assert zoo.answers(records(rows)) == records(pyfunc.predict(rows))
    assert zoo.answers(records(rows), params={"factor": 3}) == zoo.answers(
        records(rows), params={"factor": 3.0}
    )
    told = zoo.fault({"a": 1.0}, params={"factor": "much"})
    assert (told["path"], told["row"]) == ("params.factor", None)
    assert zoo.fault({"a": 1.0}, params={"shift": 1.5})["path"] == "params.shift"


def test_a_tensor_model_takes_nested_lists(zoo: Zoo) -> None:
    """Digits as vectors of 64 pixels, under a tensor signature."""
    digits = load_digits()
    model = LogisticRegression(max_iter=50, tol=0.1).fit(digits.data, digits.target)
    pyfunc = zoo.show_sklearn(model, digits.data[:5])
    rows = digits.data[100:130]
    expected = [{"prediction": int(digit)} for digit in pyfunc.predict(rows)]
    assert zoo.answers(rows.tolist()) == expected
    assert zoo.fault(rows[0].tolist(), rows[1].tolist()[:63])["path"] == "instances[1]"


def test_column_names_need_not_be_identifiers(zoo: Zoo) -> None:
    """Spaces, brackets, dots, keywords, other alphabets: errors show them as they are."""
    diabetes = load_diabetes(as_frame=True)
    names = ["the day", "größe (m²)", "a.b[0]", "class", "0", "instances", "$x", "-", "日", "A B"]
    data = diabetes.data.set_axis(names, axis="columns")
    pyfunc = zoo.show_sklearn(LinearRegression().fit(data, diabetes.target), data.head(4))
    rows = data.head(20)
    answers = [row["prediction"] for row in zoo.answers(records(rows))]
    np.testing.assert_allclose(answers, pyfunc.predict(rows), rtol=1e-9)
    for name in names:
        instances = records(rows)
        instances[7][name] = "wrong"
        assert zoo.fault(*instances)["path"] == f"instances[7].{name}"


def test_datetimes_and_booleans_are_taken_and_given(zoo: Zoo, infer: Callable[..., Any]) -> None:
    """Datetimes are RFC 3339 with any offset, and answered in UTC."""
    frame = pd.DataFrame(
        {
            "when": [pd.Timestamp("2025-03-01T12:30:00"), pd.Timestamp("2024-02-28T23:59:59.25")],
            "open": [True, False],
        }
    )
    outputs = pd.DataFrame({"next day": frame["when"], "shut": frame["open"], "hour": [1, 2]})
    signature = infer(frame, outputs)
    pyfunc = zoo.show_python("moments", frame, signature)
    expected = pyfunc.predict(frame)
    answers = zoo.answers(
        [
            {"when": "2025-03-01T13:30:00+01:00", "open": True},
            {"when": "2024-02-28T23:59:59.25Z", "open": False},
        ]
    )
    moments = [datetime.fromisoformat(row["next day"]) for row in answers]
    assert moments == [moment.replace(tzinfo=UTC) for moment in expected["next day"]]
    assert [row["shut"] for row in answers] == list(expected["shut"]) == [False, True]
    assert [row["hour"] for row in answers] == list(expected["hour"]) == [12, 23]
    assert zoo.fault({"when": "yesterday", "open": True})["path"] == "instances[0].when"
    assert zoo.fault({"when": "2025-03-01T13:30:00Z", "open": 1})["path"] == "instances[0].open"
