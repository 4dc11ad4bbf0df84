"""Columns and Arrow streams in, and answers of either kind, from a real service."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from service.commands.demo.model import NAME, OUTPUTS
from tests.support.guide import Guide
from tests.support.python_models import NOT_FINITE, RAISES, register_picky
from tools.arrow_bodies import ARROW, JSON, stream, table_of
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService, start

RAW_BODY_BYTES = 262_144
MAX_BODY_BYTES = 100_000
"""Of the picky service."""
VIOLATION = "contract-violation"


def columns_of(guide: Guide, rows: int) -> dict[str, list[Any]]:
    """Return the guide's first rows as a list for each column."""
    columns: dict[str, list[Any]] = guide.months.head(rows).to_dict(orient="list")  # type: ignore[assignment]
    return columns


def table_of_months(guide: Guide, rows: int) -> Any:
    """Return the guide's first rows as an Arrow table."""
    return pa.Table.from_pandas(guide.months.head(rows), preserve_index=False)


def send(service: RunningService, body: bytes, kind: str = ARROW, **headers: str) -> httpx.Response:
    """Ask for predictions."""
    headers = {"content-type": kind, **headers}
    return service.client.post("/predict", content=body, headers=headers)


def as_table(columns: Any) -> "np.ndarray[Any, Any]":
    """Return the guide's two outputs as a table with a row each."""
    return np.column_stack([np.asarray(columns[name]) for name in OUTPUTS])


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return a problem's body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:mlflow-hotswap:{code}"
    return body


@pytest.fixture(scope="module")
def picky(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Serve the picky model: `a` in, `y` out, in small bodies, unknown columns refused."""
    name = unique_name("picky")
    register_picky(mlflow_server, name, factor=2.0)
    with start(
        tmp_path_factory.mktemp("picky"),
        mlflow_server.uri,
        model_uri=f"models:/{name}/latest",
        max_body_bytes=MAX_BODY_BYTES,
        unknown_fields="refuse",
    ) as service:
        yield service


# -- columns -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 100, 6_000])
def test_columns_are_answered_in_columns_as_pyfunc_answers(guide: Guide, rows: int) -> None:
    """In the server process, and decoded in the worker; the names of the version stand beside."""
    columns = {name: values * (rows // 60 + 1) for name, values in columns_of(guide, 60).items()}
    columns = {name: values[:rows] for name, values in columns.items()}
    body = json.dumps({"columns": columns}).encode()
    assert (len(body) > RAW_BODY_BYTES) == (rows == 6_000)
    reply = guide.service.post("/predict", body).raise_for_status().json()
    assert list(reply) == ["predictions", "model_name", "model_stage", "model_version"]
    expected = np.tile(guide.expected(60), (rows // 60 + 1, 1))[:rows]
    np.testing.assert_allclose(as_table(reply["predictions"]), expected, rtol=1e-9, atol=0)


def test_a_fault_in_columns_is_told_here_and_from_the_worker(guide: Guide) -> None:
    """Path, row, what was wanted and what came."""
    for rows in (4, 6_000):
        columns = {name: values[:1] * rows for name, values in columns_of(guide, 1).items()}
        columns["total_files"][3] = "12"
        body = json.dumps({"columns": columns}).encode()
        assert (len(body) > RAW_BODY_BYTES) == (rows > 4)
        told = problem(guide.service.post("/predict", body), 400, VIOLATION)
        assert (told["path"], told["row"]) == ("columns.total_files[3]", 3)
        assert (told["expected"], told["got"]) == ("an integer", 'the string "12"')


def test_rows_and_columns_that_come_together_keep_their_forms(guide: Guide) -> None:
    """They may share a batch, and each caller gets the form that was sent."""
    expected = guide.expected(8)

    def ask(index: int) -> Any:
        columns = {name: [values[index]] for name, values in columns_of(guide, 8).items()}
        body = {"columns": columns} if index % 2 else {"instances": [guide.instances(8)[index]]}
        return guide.service.post("/predict", body).raise_for_status().json()["predictions"]

    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(ask, list(range(8)) * 8))
    for index, answer in enumerate(answers):
        row = {name: answer[name][0] for name in OUTPUTS} if index % 2 else answer[0]
        values = [row[name] for name in OUTPUTS]
        np.testing.assert_allclose(values, expected[index % 8], rtol=1e-9, atol=0)


# -- Arrow, both ways ----------------------------------------------------------------------------


@pytest.mark.parametrize("accept", [None, "*/*", ARROW, f"{JSON};q=0.5, {ARROW}"])
@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"batch_rows": 7}])
def test_arrow_is_answered_in_arrow_as_pyfunc_answers(
    guide: Guide, accept: str | None, options: dict[str, Any]
) -> None:
    """A column an output; the version is told in the headers and in the schema."""
    headers = {} if accept is None else {"accept": accept}
    answer = send(guide.service, stream(table_of_months(guide, 60), **options), **headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == ARROW
    assert answer.headers["x-model-name"] == NAME
    assert answer.headers["x-model-version"] == guide.version
    table = table_of(answer.content)
    assert table.schema.metadata == {
        b"hotswap.model_name": NAME.encode(),
        b"hotswap.model_version": guide.version.encode(),
    }
    assert table.column_names == list(OUTPUTS)
    np.testing.assert_allclose(as_table(table), guide.expected(60), rtol=1e-9, atol=0)


@pytest.mark.parametrize("accept", [JSON, "application/*", f"{ARROW};q=0.1, {JSON}"])
def test_arrow_is_answered_in_json_where_that_is_accepted_most(guide: Guide, accept: str) -> None:
    """In columns, as it came; a range that holds both is answered by what was sent."""
    answer = send(guide.service, stream(table_of_months(guide, 60)), accept=accept)
    if accept == "application/*":
        assert answer.headers["content-type"] == ARROW
        return
    assert answer.headers["content-type"] == JSON
    np.testing.assert_allclose(
        as_table(answer.json()["predictions"]), guide.expected(60), rtol=1e-9, atol=0
    )


@pytest.mark.parametrize("rows", [2, 60])
def test_json_is_answered_in_arrow_where_that_is_accepted(guide: Guide, rows: int) -> None:
    """Rows or columns, and the default of JSON stays JSON."""
    for body in ({"instances": guide.instances(rows)}, {"columns": columns_of(guide, rows)}):
        encoded = json.dumps(body).encode()
        answer = send(guide.service, encoded, JSON, accept=ARROW)
        assert answer.headers["content-type"] == ARROW, answer.text
        table = table_of(answer.content)
        np.testing.assert_allclose(as_table(table), guide.expected(rows), rtol=1e-9, atol=0)
        for accept in ("*/*", f"{JSON}, {ARROW}"):
            assert send(guide.service, encoded, JSON, accept=accept).json()["predictions"]


def test_an_answer_that_nobody_accepts_is_a_problem(guide: Guide) -> None:
    """406 says what there is, whatever was sent."""
    for kind, body in ((JSON, b"{}"), (ARROW, b"")):
        answer = send(guide.service, body, kind, accept="text/csv, */*;q=0")
        told = problem(answer, 406, "not-acceptable")
        assert ARROW in told["detail"]


# -- Arrow that is wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "path", "row", "got"),
    [
        ("total_files", ["1", "2", "3"], "columns.total_files", None, "a column of string"),
        ("total_files", [1.0, 2.0, 3.0], "columns.total_files", None, "a column of double"),
        ("total_files", [1, None, 3], "columns.total_files[1]", 1, "null"),
        ("total_files", [1, 2, 0], "columns.total_files[2]", 2, "the integer 0"),
        ("pct_pdf", [0.1, 1.5, 0.1], "columns.pct_pdf[1]", 1, "the number 1.5"),
        ("pct_pdf", [0.1, float("nan"), 0.1], "columns.pct_pdf[1]", 1, "the number nan"),
        (
            "month",
            ["2025-01-01", "2025-02-30", ""],
            "columns.month[1]",
            1,
            'the string "2025-02-30"',
        ),
    ],
)
def test_arrow_is_held_to_the_rules_of_rows(
    guide: Guide, name: str, values: list[Any], path: str, row: int | None, got: str
) -> None:
    """The fault's place, what was wanted and what came."""
    table = table_of_months(guide, 3)
    index = table.column_names.index(name)
    array = pa.array(values)
    answer = send(guide.service, stream(table.set_column(index, name, array)))
    told = problem(answer, 400, VIOLATION)
    assert (told["path"], told["row"], told["got"]) == (path, row, got)
    assert answer.headers["x-model-version"] == guide.version


def test_missing_columns_and_no_rows_are_told(guide: Guide) -> None:
    """A column by its name; a stream without rows as a whole."""
    table = table_of_months(guide, 3)
    told = problem(send(guide.service, stream(table.drop_columns(["month"]))), 400, VIOLATION)
    assert (told["path"], told["got"]) == ("columns.month", "nothing")
    told = problem(send(guide.service, stream(table.slice(0, 0))), 400, VIOLATION)
    assert (told["path"], told["row"]) == ("", None)


def test_what_is_no_whole_stream_is_malformed(guide: Guide) -> None:
    """Nothing, something else, and a stream cut short at each of many places, even at a batch."""
    whole = stream(table_of_months(guide, 60), batch_rows=20)
    cuts = [whole[:-8], whole[:-1], *(whole[:cut] for cut in range(0, len(whole), len(whole) // 9))]
    for body in (b"", b"month,total_files\n", b"{}", *cuts, whole + b"\x00"):
        problem(send(guide.service, body), 400, "malformed-body")
    assert send(guide.service, whole).status_code == 200


def test_extra_columns_follow_unknown_fields(guide: Guide, picky: RunningService) -> None:
    """Ignored, whatever they hold, or refused by name."""
    table = table_of_months(guide, 3).append_column("new", pa.array([[1], [], None]))
    assert send(guide.service, stream(table)).status_code == 200
    told = problem(send(picky, stream({"a": [1.0], "new": [1]})), 400, VIOLATION)
    assert told["path"] == "columns.new"


def test_a_stream_over_the_limits_is_refused(picky: RunningService) -> None:
    """As a body, and for what it would become: a small one may hold very much."""
    told = problem(send(picky, stream({"a": np.zeros(20_000)})), 413, "body-too-large")
    assert str(MAX_BODY_BYTES) in told["detail"]
    bomb = stream({"a": np.zeros(2_000_000)}, compression="zstd")
    assert len(bomb) < MAX_BODY_BYTES
    told = problem(send(picky, bomb), 413, "body-too-large")
    assert "16000000 bytes" in told["detail"]
    fits = stream({"a": np.zeros(90_000)}, compression="zstd")
    assert table_of(send(picky, fits).raise_for_status().content).num_rows == 90_000


def test_models_that_fail_over_arrow_are_told_as_over_json(picky: RunningService) -> None:
    """A prediction that is not finite with its row, an exception with its sentence."""
    told = problem(send(picky, stream({"a": [1.0, NOT_FINITE]})), 500, "non-finite-prediction")
    assert told["row"] == 1
    told = problem(send(picky, stream({"a": [1.0, RAISES]})), 500, "model-failed")
    assert "ValueError: the oven is too hot" in told["detail"]
    assert table_of(send(picky, stream({"a": [4]})).content).to_pydict() == {"y": [8.0]}


def test_no_request_fails_and_none_mixes_when_versions_change_under_arrow_load(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every answer is the one of the version that its headers and its schema name."""
    name = unique_name("swapped")
    factors = {register_picky(mlflow_server, name, factor=f): f for f in (2.0, 3.0, 5.0)}
    first, *others = factors
    mlflow_server.set_alias(name, "live", first)
    body = stream({"a": np.arange(500.0)})
    with (
        start(
            tmp_path_factory.mktemp("swapped"), mlflow_server.uri, model_uri=f"models:/{name}@live"
        ) as service,
        ThreadPoolExecutor(2) as callers,
    ):
        done = False

        def ask_on(_: int) -> set[str]:
            seen: set[str] = set()
            while not done:
                answer = send(service, body)
                assert answer.status_code == 200, answer.text
                version = answer.headers["x-model-version"]
                table = table_of(answer.content)
                assert table.schema.metadata[b"hotswap.model_version"] == version.encode()
                expected = np.arange(500.0) * factors[version]
                np.testing.assert_allclose(table["y"].to_numpy(), expected, rtol=1e-9)
                seen.add(version)
            return seen

        asking = [callers.submit(ask_on, caller) for caller in range(2)]
        try:
            for version in others:
                mlflow_server.set_alias(name, "live", version)
                service.wait_serving(version)
        finally:
            done = True
        seen = [caller.result(30) for caller in asking]
    assert set().union(*seen) >= {first, others[0]}
