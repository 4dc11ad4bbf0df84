"""Clients of the Open Inference Protocol that must work unchanged."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from service.codecs.inference.datatypes import datatype_of
from tests.support.client_environments import said_by
from tests.support.guide import Guide

CLIENTS = Path(__file__).parents[1] / "clients"
ROWS = 5
LONG = pytest.mark.skipif(
    not os.environ.get("HOTSWAP_LONG_FAULTS"), reason="it takes a minute to install"
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the clients call loopback themselves, whatever this machine has set."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def name_of(guide: Guide) -> str:
    """Return what the guide's model is called in paths."""
    (only,) = guide.service.get("/models").json()["models"]
    return str(only["name"])


def columns(guide: Guide) -> str:
    """Return some months as the clients get them."""
    inputs = guide.service.info()["serving"]["signature"]["inputs"]
    months = guide.months.head(ROWS)
    return json.dumps(
        {
            spec["name"]: (datatype_of(spec["type"]), months[spec["name"]].tolist())
            for spec in inputs
        }
    )


def assert_right(guide: Guide, answers: dict[str, dict[str, list[float]]]) -> None:
    """Hold each answer against the model."""
    assert answers
    for answer in answers.values():
        assert np.array_equal(np.array(list(answer.values())).T, guide.expected(ROWS))


def test_tritons_client(guide: Guide) -> None:
    """`tritonclient[http]`: binary by default, JSON, chosen outputs, versions, errors."""
    name = name_of(guide)
    address = guide.service.url.removeprefix("http://")
    said = said_by("tritonclient", address, name, guide.version, columns(guide))
    assert_right(guide, said["answers"])
    assert len(said["answers"]) == 7
    assert [said[key] for key in ("live", "ready", "model_ready", "other_ready")] == [
        *(True, True, True),
        False,
    ]
    assert (said["server"], said["config"], said["id"]) == ("mlflow-hotswap", name, "7")
    assert said["versions"] == [guide.version] == [said["statistics"]]
    assert [one["name"] for one in said["index"]] == [name]
    for change in ("load", "unload"):
        assert "promote a version" in said[change]
    assert "no model is served as 'nobody'" in said["nobody"]
    assert "expected a tensor of this name" in said["wrong"]


def test_tritons_grpc_client(guide: Guide) -> None:
    """`tritonclient[grpc]`: raw, chosen outputs, versions, compression, Triton's calls, errors."""
    name = name_of(guide)
    arguments = (guide.grpc_address, name, guide.version, columns(guide))
    said = said_by("tritonclient_grpc", *arguments)
    assert_right(guide, said["answers"])
    assert len(said["answers"]) == 6
    assert [said[key] for key in ("live", "ready", "model_ready")] == [True, True, True]
    assert (said["server"], said["config"], said["id"]) == ("mlflow-hotswap", name, "7")
    assert said["versions"] == [guide.version] == [said["statistics"]] == [said["served"]]
    assert said["index"] == [name]
    assert said["order"] == list(said["answers"]["raw"])[::-1]
    for change in ("load", "unload"):
        status, sentence = said[change]
        assert status == "StatusCode.INVALID_ARGUMENT"
        assert "promote a version" in sentence
    for key, status, sentence in (
        ("other_ready", "NOT_FOUND", "version '99'"),
        ("nobody", "NOT_FOUND", "no model is served as 'nobody'"),
        ("wrong", "INVALID_ARGUMENT", "expected a tensor of this name"),
        ("memory", "UNIMPLEMENTED", ""),
    ):
        assert said[key][0] == f"StatusCode.{status}"
        assert sentence in said[key][1]
    assert said["stream"] == "StatusCode.UNIMPLEMENTED"


@LONG
def test_kserves_grpc_client(guide: Guide) -> None:
    """`InferenceGRPCClient`: typed and raw, the health calls, and errors as it reads them."""
    said = said_by("kserve_grpc", guide.grpc_address, name_of(guide), columns(guide))
    assert_right(guide, said["answers"])
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, True)
    assert said["ids"] == ["7", "7"]
    assert said["versions"] == [guide.version] * 2
    assert "no model is served as 'nobody'" in said["refused"]


@LONG
def test_kserves_client(guide: Guide) -> None:
    """`InferenceRESTClient`: JSON and binary, the health calls, and errors as it reads them."""
    said = said_by("kserve", guide.service.url, name_of(guide), columns(guide))
    assert_right(guide, said["answers"])
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, True)
    assert said["ids"] == ["7", "7"]
    assert "no model is served as 'nobody'" in said["refused"]


@LONG
def test_mlservers_codecs(guide: Guide) -> None:
    """A frame goes as `content_type: pd`, and the answer is a frame again."""
    said = said_by("mlserver", guide.service.url, name_of(guide), columns(guide))
    assert_right(guide, {"frame": said["answers"]})
    assert said["content_type"] == "pd"
    assert said["shapes"] == [[ROWS, 1]] * len(said["answers"])
