"""The guide's requests get the guide's answers, equal to those of `mlflow.pyfunc`."""

import json
import re
import uuid
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from service.commands.demo.model import NAME, OUTPUTS
from tests.support.guide import Guide
from tools.mlflow_server import MlflowServer

RAW_BODY_BYTES = 262_144


def answers_of(reply: dict[str, Any]) -> "np.ndarray[Any, Any]":
    """Return an answer's predictions as a table."""
    return np.array([[row[name] for name in OUTPUTS] for row in reply["predictions"]])


@pytest.mark.parametrize("rows", [1, 100, 1_200])
def test_answers_are_those_of_pyfunc(guide: Guide, rows: int) -> None:
    """A row, a hundred, and a body that is decoded in the worker: all as mlflow.pyfunc answers."""
    body = json.dumps({"instances": guide.instances(rows)}).encode()
    assert (len(body) > RAW_BODY_BYTES) == (rows == 1_200)
    reply = guide.service.post("/predict", body).raise_for_status().json()
    np.testing.assert_allclose(answers_of(reply), guide.expected(rows), rtol=1e-9, atol=0)


def test_the_answer_has_the_shape_that_the_guide_shows(guide: Guide) -> None:
    """The body has four fields, each prediction both outputs, the headers name the version."""
    answer = guide.service.predict(*guide.instances(2))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-model-name"] == NAME
    assert answer.headers["x-model-version"] == guide.version
    reply = answer.json()
    assert [list(row) for row in reply["predictions"]] == [list(OUTPUTS)] * 2
    assert {key: value for key, value in reply.items() if key != "predictions"} == {
        "model_name": NAME,
        "model_stage": f"@{guide.alias}",
        "model_version": guide.version,
    }


def test_integers_are_taken_where_floats_are_wanted(guide: Guide) -> None:
    """A size of 2 is a size of 2.0."""
    row = {**guide.instances(1)[0], "avg_file_size_mb": 2, "largest_file_mb": 300, "pct_pdf": 0}
    frame = guide.months.head(1).assign(avg_file_size_mb=2.0, largest_file_mb=300.0, pct_pdf=0.0)
    reply = guide.service.predict(row).raise_for_status().json()
    np.testing.assert_allclose(answers_of(reply), guide.pyfunc.predict(frame), rtol=1e-9)


@pytest.mark.parametrize("rows", [1, 1_200])
def test_unknown_fields_are_ignored(guide: Guide, rows: int) -> None:
    """A client may send a column before the version that wants it is live."""
    instances = [{**row, "next_years_column": [{"x": 1}]} for row in guide.instances(rows)]
    reply = guide.service.predict(*instances, also_new=True).raise_for_status().json()
    np.testing.assert_allclose(answers_of(reply), guide.expected(rows), rtol=1e-9)


@pytest.mark.parametrize("given", ["a", "trace_1.2-3", "x" * 128])
def test_a_good_request_id_is_sent_back(guide: Guide, given: str) -> None:
    """One to 128 letters, digits, `_`, `.` and `-` are the caller's own id."""
    body = {"instances": guide.instances(1)}
    answer = guide.service.post("/predict", body, headers={"x-request-id": given})
    assert answer.headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", [None, "", "x" * 129, "two words", "semi;colon", "ümlaut"])
def test_a_bad_or_missing_request_id_is_replaced_by_a_uuid(guide: Guide, given: str | None) -> None:
    """Whatever else was sent never reaches the log or the answer."""
    headers = {} if given is None else {"x-request-id": given.encode()}
    body = {"instances": guide.instances(1)}
    answer = guide.service.post("/predict", body, headers=headers)
    (answered,) = answer.headers.get_list("x-request-id")
    assert str(uuid.UUID(answered)) == answered


def test_health_tells_what_serves(guide: Guide, mlflow_server: MlflowServer) -> None:
    """Health has the guide's fields, at both of its paths."""
    for path in ("/health", "/health/ready"):
        answer = guide.service.get(path)
        assert answer.status_code == 200
        body = answer.json()
        assert body.pop("registry_age_s") < 60
        assert datetime.fromisoformat(body.pop("registry_last_seen")).tzinfo is not None
        assert body == {
            "status": "healthy",
            "model_loaded": True,
            "model_name": NAME,
            "model_stage": f"@{guide.alias}",
            "mlflow_uri": mlflow_server.uri,
            "model_version": guide.version,
            "promoted_version": guide.version,
            "registry_error": None,
            "pinned_version": None,
            "degraded": None,
            "models": {
                NAME: {"status": "healthy", "model_loaded": True, "model_version": guide.version}
            },
        }
    assert guide.service.get("/health/live").json() == {"status": "alive"}


RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")


def test_model_info_tells_all_that_is_known(guide: Guide, mlflow_server: MlflowServer) -> None:
    """What serves and how it came to, what it takes, which engine computes, how fresh that is."""
    info = guide.service.info()
    with mlflow_server.active():
        registered = mlflow_server.client.get_model_version(NAME, guide.version)
    assert info["model_name"] == NAME
    assert info["model_stage"] == f"@{guide.alias}"
    assert info["model_version"] == guide.version
    assert info["tracking_uri"] == mlflow_server.uri
    assert info["loaded"] is True
    assert info["ref"] == f"models:/{NAME}@{guide.alias}"
    serving = info["serving"]
    assert serving["run_id"] == registered.run_id
    assert serving["source"] == registered.source
    assert re.fullmatch(r"[0-9a-f]{64}", serving["digest"])
    assert [spec["name"] for spec in serving["signature"]["inputs"]] == list(guide.months.columns)
    assert [spec["name"] for spec in serving["signature"]["outputs"]] == list(OUTPUTS)
    assert serving["batched"] is True
    assert serving["pool"]["workers"] == serving["pool"]["alive"] == 1
    assert serving["pool"]["threads_per_worker"] >= 1
    assert serving["pool"]["request_timeout_s"] == 30
    assert serving["pool"]["max_batch_rows"] == 4096
    assert [(version["version"], version["state"]) for version in info["versions"]] == [
        (guide.version, "ready")
    ]
    (promotion,) = info["promotions"]
    assert (promotion["trigger"], promotion["ending"]) == ("start", "serving")
    verdicts = {verdict["gate"]: verdict["outcome"] for verdict in promotion["verdicts"]}
    assert {verdicts[gate] for gate in ("load", "contract", "smoke")} == {"pass"}
    assert "refuse" not in verdicts.values()
    assert promotion["durations_s"].keys() >= {"fetch", "load", "gates"}
    assert 0 <= info["registry"]["age_s"] < 60
    for moment in (
        serving["since"],
        promotion["noticed_at"],
        promotion["ended_at"],
        info["versions"][0]["since"],
        info["registry"]["last_good_look_at"],
    ):
        assert RFC_3339_UTC.fullmatch(moment), moment


def named(reference: str) -> str:
    """Return the name of the schema that a reference leads to."""
    return reference.rpartition("/")[2]


def test_the_openapi_schema_describes_the_calls(guide: Guide) -> None:
    """Each call is there, and the request and answer of `/predict` with their fields."""
    schema = guide.service.get("/schema/openapi.json").raise_for_status().json()
    calls = {(path, method) for path, item in schema["paths"].items() for method in item}
    assert calls >= {
        ("/predict", "post"),
        ("/health", "get"),
        ("/health/live", "get"),
        ("/health/ready", "get"),
        ("/model/info", "get"),
        ("/reload-model", "post"),
    }
    predict = schema["paths"]["/predict"]["post"]
    kinds = ["application/json", "application/vnd.apache.arrow.stream"]
    assert list(predict["requestBody"]["content"]) == kinds
    schemas = schema["components"]["schemas"]
    request = predict["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    forms = [named(form["$ref"]) for form in schemas[named(request)]["oneOf"]]
    assert [schemas[form]["required"] for form in forms] == [["instances"], ["columns"]]
    assert list(predict["responses"]["200"]["content"]) == kinds
    reference = predict["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    answer = schemas[named(reference)]
    assert answer["properties"].keys() == {
        "predictions",
        "model_name",
        "model_stage",
        "model_version",
    }
