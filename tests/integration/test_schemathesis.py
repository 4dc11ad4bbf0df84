"""Schemathesis, with all its checks, over every call that a live service's document describes."""

import ast
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from service.commands.demo.model import NAME
from tests.support.client_environments import interpreter_of
from tests.support.guide import register_guide
from tools import running_service
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

ROOT = Path(__file__).parents[2]
LONG = bool(os.environ.get("HOTSWAP_LONG_FAULTS"))
SEED = 1
EXAMPLES, LIMIT_S = (60, 800) if LONG else (8, 170)
TOKEN, SECRET = "a-token-of-operators", "a-secret-of-webhooks"
OPERATE = "operate"


class CannotHold(NamedTuple):
    """A check that can't hold for some calls, why, and the tests of ours that stand in for it."""

    calls: str
    """A pattern of their operation ids."""
    check: str
    because: str
    tests: tuple[str, ...]


POSITIVE, NEGATIVE = "positive_data_acceptance", "negative_data_rejection"
_ERRORS = "tests/integration/test_http_errors.py"
_MLFLOW = "tests/differential/test_scoring_code.py"
_NUMBERS = "tests/unit/codecs/inference/test_request.py"
_TENSORS = "tests/integration/test_inference_protocol.py"
LIST = (
    CannotHold(
        "^predict(_archive-forecast-rf)?$",
        POSITIVE,
        "no schema says that three shares are at most 1 together, or columns of one length",
        (
            f"{_ERRORS}::test_shares_of_more_than_one_are_told_with_their_row",
            f"{_ERRORS}::test_a_body_that_breaks_the_contract_is_told_where",
        ),
    ),
    CannotHold(
        "^invocations",
        NEGATIVE,
        "MLflow drops what it does not know and casts the rest, on purpose",
        (f"{_MLFLOW}::test_any_document_is_answered_as_mlflow_answers_it",),
    ),
    CannotHold(
        "^invocations",
        POSITIVE,
        "no schema says what CSV and Parquet hold, or columns of one length",
        (f"{_MLFLOW}::test_each_body_is_answered_as_mlflow_answers_it",),
    ),
    CannotHold(
        "^v2_infer",
        POSITIVE,
        "no schema says that a tensor has as many elements as its shape, or what is binary",
        (
            f"{_TENSORS}::test_what_is_wrong_is_told_in_the_protocols_form",
            f"{_TENSORS}::test_the_numbers_are_the_models_in_each_form",
        ),
    ),
    CannotHold(
        "^v2_infer",
        NEGATIVE,
        "numbers of other datatypes are taken where they are the same numbers",
        (f"{_NUMBERS}::test_a_column_may_come_flat_or_nested_and_by_any_number_that_is_kept",),
    ),
    CannotHold(
        "^v2_repository_(un)?load$",
        POSITIVE,
        "both are refused whatever is sent: the registry decides",
        (f"{_TENSORS}::test_the_repository_is_shown_and_not_changed",),
    ),
)


LEFT_OUT = "timeout"
"""A parameter that no value is made up for: one of a millisecond is rightly answered with 503 or
504, which no check tells from a fault. `test_direct_answers.py` asks for such answers.
"""


@pytest.fixture(scope="module")
def served(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the guide's model, and one beside it whose rules a schema says all of."""
    alias = register_guide(mlflow_server).alias
    tiny = unique_name("tiny")
    mlflow_server.set_alias(tiny, "champion", mlflow_server.register_tiny(tiny))
    models = f"{NAME}=models:/{NAME}@{alias},tiny=models:/{tiny}@champion"
    with running_service.start(
        tmp_path_factory.mktemp("described"),
        mlflow_server.uri,
        models=models,
        default_model=NAME,
        ready_when="all",
        unknown_fields="refuse",
        # NaN is no JSON, whatever a schema says.
        invocations_nonfinite="null",
        poll_interval_s=2,
    ) as service:
        yield service.url


@pytest.fixture(scope="module")
def operated(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Serve a model for operators to change, who need a token for it."""
    name = unique_name("operated")
    for factor in (1.0, 2.0):
        version = mlflow_server.register_tiny(name, factor)
    mlflow_server.set_alias(name, "champion", version)
    with running_service.start(
        tmp_path_factory.mktemp("operated"),
        mlflow_server.uri,
        model_name=name,
        model_alias="champion",
        admin_token=TOKEN,
        webhook_secret=SECRET,
    ) as service:
        yield service


@pytest.mark.timeout(LIMIT_S + 100)
def test_every_call_that_reads_is_as_described(
    served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In each protocol, for two models: statuses, headers, kinds, schemas, methods, bad data."""
    said = schemathesis(served, tmp_path, "--exclude-tag", OPERATE)
    with capsys.disabled():
        print("\n" + said)  # noqa: T201 - figures that people look for in the test's output


@pytest.mark.timeout(LIMIT_S + 100)
def test_every_call_of_operators_is_as_described(
    operated: RunningService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a deployment of its own: they change what it serves, and are refused without a token."""
    token = f"Authorization: Bearer {TOKEN}"
    said = schemathesis(operated.url, tmp_path, "--include-tag", OPERATE, "--header", token)
    with capsys.disabled():
        print("\n" + said)  # noqa: T201 - figures that people look for in the test's output
    operated.wait_healthy()


def test_the_document_is_of_what_serves_now(operated: RunningService) -> None:
    """After each swap its version, its tag and its header are others, and each call's are too."""
    token = {"authorization": f"Bearer {TOKEN}"}
    seen = []
    for version in ("1", "2", "1"):
        pinned = operated.post("/model/pin", {"version": version}, headers=token)
        assert pinned.status_code == 200, pinned.text
        answer = operated.get("/schema/openapi.json")
        document = answer.json()
        assert answer.headers["x-model-version"] == document["info"]["version"] == version
        paths = [path for path in document["paths"] if path.endswith("/infer")]
        assert [path.split("/")[-2] for path in paths if "/versions/" in path] == [version]
        seen.append(answer.headers["etag"])
    assert seen[0] == seen[2] != seen[1]


def test_what_cannot_hold_has_a_reason_and_a_test() -> None:
    """Each test that stands in for a check is there."""
    for one in LIST:
        assert one.because
        assert one.tests
        for test in one.tests:
            path, _, name = test.partition("::")
            tree = ast.parse((ROOT / path).read_text("utf-8"))
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            assert name in {node.name for node in tree.body if isinstance(node, functions)}, test


def schemathesis(url: str, folder: Path, *more: str) -> str:
    """Run it with all its checks; return its summary. Fail with what it found."""
    config = folder / "schemathesis.toml"
    config.write_text(configuration(), "utf-8")
    document = folder / "openapi.json"
    document.write_text(json.dumps(described_by(url)), "utf-8")
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        [
            *(interpreter_of("schemathesis"), "-m", "schemathesis.cli"),
            *("--config-file", config, "run", document, "--url", url),
            *("--phases", "examples,coverage,fuzzing,stateful"),
            *("--seed", str(SEED), "--max-examples", str(EXAMPLES), "--request-timeout", "30"),
            *("--no-color", "--continue-on-failure", *more),
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    summary = done.stdout[done.stdout.index(" SUMMARY ") :].partition("\n")[2]
    selected = re.search(r"Selected: (\d+)/", summary)
    tested = re.search(r"Tested: (\d+)", summary)
    assert selected
    assert tested
    assert int(tested[1]) == int(selected[1]) > 0
    return f"Schemathesis, {' '.join(more[:2])}\n{summary}"


def described_by(url: str) -> dict[str, Any]:
    """Return a service's document without the parameter that is left out."""
    answer = httpx.get(f"{url}/schema/openapi.json", trust_env=False).raise_for_status()
    document: dict[str, Any] = answer.json()
    calls = [call for item in document["paths"].values() for call in item.values()]
    for call in calls:
        parameters = call.get("parameters", [])
        kept = [one for one in parameters if not one.get("$ref", "").endswith(f"/{LEFT_OUT}")]
        if parameters:
            call["parameters"] = kept
    return document


def configuration() -> str:
    """Return the list of what can't hold, as it reads it."""
    tables: dict[str, list[str]] = {}
    for one in LIST:
        tables.setdefault(one.calls, []).append(one.check)
    # All of them; the command line's word for that would be stronger than the list.
    lines = ["[checks]", "enabled = true"]
    for calls, checks in tables.items():
        lines += ["[[operations]]", f"include-operation-id-regex = {json.dumps(calls)}"]
        lines += [f"checks.{check}.enabled = false" for check in checks]
    return "\n".join(lines) + "\n"
