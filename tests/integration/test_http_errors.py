"""Every row of the HTTP section's errors, each asked of a real service."""

import gzip
import json
import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.guide import Guide
from tests.support.python_models import HANGS, NOT_FINITE, RAISES, register_picky
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService, start

PREFIX = "urn:mlflow-hotswap:"
MAX_BODY_BYTES = 100_000
RAW_BODY_BYTES = 20_000
"""Of the picky service; the guide's has the defaults."""
DEFAULT_RAW_BODY_BYTES = 262_144
TOKEN = "the-right-one"  # noqa: S105 - opens nothing but this test's service
AFAR = {"x-forwarded-for": "192.0.2.7"}


class Picky(NamedTuple):
    """A service with small limits and a model that can be brought to fail."""

    service: RunningService
    name: str


@pytest.fixture(scope="module")
def picky(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Picky]:
    """Serve the picky model from a registry whose address holds a password."""
    name = unique_name("picky")
    register_picky(mlflow_server, name, factor=2.0)
    with start(
        tmp_path_factory.mktemp("picky"),
        mlflow_server.uri.replace("://", "://someone:s3cr3t@"),
        model_uri=f"models:/{name}/latest",
        request_timeout_s=2,
        max_body_bytes=MAX_BODY_BYTES,
        raw_body_bytes=RAW_BODY_BYTES,
        unknown_fields="refuse",
        admin_token=TOKEN,
    ) as service:
        yield Picky(service, name)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return a problem's body once all that every problem has is there."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    body: dict[str, Any] = answer.json()
    assert body["type"] == (PREFIX + code if code else "about:blank")
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert "Traceback" not in answer.text
    return body


# -- bodies that are no JSON -------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"instances": [', id="cut short"),
        pytest.param(b'{"instances": [{"month": NaN}]}', id="a word that JSON does not have"),
        pytest.param(b'{"instances": [{"month": "\xff\xfe"}]}', id="no UTF-8"),
        pytest.param(b'{"else": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", id="nested absurdly"),
    ],
)
@pytest.mark.parametrize("padding", [0, DEFAULT_RAW_BODY_BYTES])
def test_a_body_that_is_no_json_is_refused(guide: Guide, body: bytes, padding: int) -> None:
    """Syntax, encoding and nesting are 400, read here or in the worker."""
    problem(guide.service.post("/predict", body + b" " * padding), 400, "malformed-body")


# -- bodies that break the contract ------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "expected", "got"),
    [
        ("total_files", "12", "an integer", 'the string "12"'),
        ("total_files", True, "an integer", "true"),
        ("total_files", 1.0, "an integer", "the number 1.0"),
        ("total_files", 2**63, None, f"the integer {2**63}"),
        ("total_files", 0, None, "the integer 0"),
        ("deleted_files_count", -1, None, "the integer -1"),
        ("avg_file_size_mb", "1.5", "a number", 'the string "1.5"'),
        ("avg_file_size_mb", -0.5, None, "the number -0.5"),
        ("pct_pdf", 1.5, None, "the number 1.5"),
        ("month", "2025-02-30", None, 'the string "2025-02-30"'),
        ("month", None, "a string", "null"),
    ],
)
def test_a_body_that_breaks_the_contract_is_told_where(
    guide: Guide, field: str, value: object, expected: str | None, got: str
) -> None:
    """The path with its row, what was wanted and what came: in a small body and in a big one."""
    for rows in (4, 1_200):
        instances = guide.instances(rows)
        instances[3][field] = value
        body = json.dumps({"instances": instances}).encode()
        assert (len(body) > DEFAULT_RAW_BODY_BYTES) == (rows > 4)
        told = problem(guide.service.post("/predict", body), 400, "contract-violation")
        assert told["path"] == f"instances[3].{field}"
        assert told["row"] == 3
        assert told["expected"] == expected or not expected
        assert told["got"] == got
        assert told["path"] in told["detail"]


def test_shares_of_more_than_one_are_told_with_their_row(guide: Guide) -> None:
    """The three shares of a row are at most 1 together."""
    instances = guide.instances(3)
    instances[2].update(pct_pdf=0.5, pct_docx=0.4, pct_xlsx=0.2)
    told = problem(guide.service.predict(*instances), 400, "contract-violation")
    assert (told["path"], told["row"]) == ("instances[2]", 2)


def test_a_missing_field_is_told(guide: Guide) -> None:
    """A field that is not there has a path all the same."""
    instance = guide.instances(1)[0]
    del instance["month"]
    told = problem(guide.service.predict(instance), 400, "contract-violation")
    assert (told["path"], told["row"], told["got"]) == ("instances[0].month", 0, "nothing")


@pytest.mark.parametrize(
    ("body", "path"),
    [(b'{"instances": []}', "instances"), (b"{}", "instances"), (b"[]", "")],
)
def test_a_body_without_instances_is_refused(guide: Guide, body: bytes, path: str) -> None:
    """No instance, no `instances`, no object."""
    told = problem(guide.service.post("/predict", body), 400, "contract-violation")
    assert (told["path"], told["row"]) == (path, None)


def test_unknown_fields_are_refused_where_asked_for(picky: Picky) -> None:
    """UNKNOWN_FIELDS=refuse catches a typo in a row, in a big body, and beside the rows."""
    typo = {"a": 1.0, "typo": 2}
    told = problem(picky.service.predict({"a": 1.0}, typo), 400, "contract-violation")
    assert (told["path"], told["row"]) == ("instances[1].typo", 1)
    many = [{"a": 1.0}] * (RAW_BODY_BYTES // 8)
    told = problem(picky.service.predict(*many, typo), 400, "contract-violation")
    assert told["row"] == len(many)
    problem(picky.service.predict({"a": 1.0}, typo=1), 400, "contract-violation")


# -- bodies of the wrong size or kind ----------------------------------------------------------


def test_a_body_over_the_limit_is_refused(picky: Picky) -> None:
    """MAX_BODY_BYTES counts whether the length is announced or the body comes in chunks."""
    too_long = b'{"instances": []}' + b" " * MAX_BODY_BYTES
    chunks = (too_long[at : at + 10_000] for at in range(0, len(too_long), 10_000))
    headers = {"content-type": "application/json"}
    for content in (too_long, chunks):
        answer = picky.service.client.post("/predict", content=content, headers=headers)
        told = problem(answer, 413, "body-too-large")
        assert str(MAX_BODY_BYTES) in told["detail"]
    just_right = b'{"instances": [{"a": 1.0}]}'.ljust(MAX_BODY_BYTES)
    assert picky.service.post("/predict", just_right).status_code == 200


def test_a_body_of_another_kind_is_refused(guide: Guide) -> None:
    """What says that it is no JSON is not read as JSON; any kind of JSON is."""
    body = json.dumps({"instances": guide.instances(1)}).encode()
    for kind in ("text/csv", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = guide.service.post("/predict", body, headers={"content-type": kind})
        assert kind in problem(answer, 415, "unsupported-content-type")["detail"]
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/x.y+json"):
        answer = guide.service.post("/predict", body, headers={"content-type": kind})
        assert answer.status_code == 200
    assert guide.service.client.post("/predict", content=body).status_code == 200


# -- calls that do not exist -------------------------------------------------------------------


def test_paths_and_methods_that_do_not_exist_are_problems_too(guide: Guide) -> None:
    """404 and 405 speak as all other errors do."""
    problem(guide.service.get("/nowhere"), 404, "")
    answer = guide.service.get("/predict")
    problem(answer, 405, "")
    assert "POST" in answer.headers["allow"]


# -- models that fail --------------------------------------------------------------------------


def test_a_model_that_raises_is_told_without_its_traceback(picky: Picky) -> None:
    """The caller gets a sentence; the log gets the traceback with request, model and version."""
    headers = {"x-request-id": unique_name("raising")}
    body = {"instances": [{"a": 1.0}, {"a": RAISES}]}
    answer = picky.service.post("/predict", body, headers=headers)
    told = problem(answer, 500, "model-failed")
    assert "ValueError: the oven is too hot" in told["detail"]
    assert "_raise_deep_inside" not in answer.text
    assert answer.headers["x-model-version"] == "1"
    assert answer.headers["x-request-id"] == headers["x-request-id"]
    (line,) = [
        event
        for event in picky.service.events()
        if event.get("request_id") == headers["x-request-id"]
    ]
    assert (line["model"], line["version"]) == (picky.name, "1")
    assert "in _raise_deep_inside" in line["exception"]
    assert picky.service.predict({"a": 1.0}).status_code == 200


def test_a_prediction_that_is_not_finite_is_told_with_its_row(picky: Picky) -> None:
    """NaN is no answer, wherever the body was decoded; the rows beside it get none either."""
    for before in (1, RAW_BODY_BYTES // 8):
        instances = [{"a": 1.0}] * before + [{"a": NOT_FINITE}, {"a": 1.0}]
        told = problem(picky.service.predict(*instances), 500, "non-finite-prediction")
        assert told["row"] == before


def test_a_model_that_hangs_is_given_up_and_its_worker_replaced(picky: Picky) -> None:
    """Past REQUEST_TIMEOUT_S the answer is 504, and soon another worker answers."""
    before = picky.service.worker_pids()
    problem(picky.service.predict({"a": HANGS}), 504, "request-timeout")
    picky.service.wait_until(
        lambda: picky.service.worker_pids() not in ([], before), "a new worker stands", 20
    )
    answer = picky.service.predict({"a": 4.0})
    assert answer.raise_for_status().json()["predictions"] == [{"y": 8.0}]


# -- who may change what is served ---------------------------------------------------------------

CHANGES = (("POST", "/reload-model"), ("POST", "/model/pin"), ("DELETE", "/model/pin"))


def change(service: RunningService, method: str, path: str, **headers: str) -> httpx.Response:
    """Ask for a change, with a body where one is taken."""
    given = {"content-type": "application/json", **headers}
    return service.client.request(method, path, content=b'{"version": 1}', headers=given)


def test_a_change_wants_the_token_wherever_it_comes_from(picky: Picky) -> None:
    """Without it or with another 401, on loopback as well; with it 200."""
    for headers in (
        {},
        AFAR,
        {**AFAR, "authorization": "Bearer the-wrong-one"},
        {**AFAR, "authorization": TOKEN},
    ):
        for method, path in CHANGES:
            answer = change(picky.service, method, path, **headers)
            problem(answer, 401, "unauthorized")
            sends_none = "authorization" not in headers
            challenge = "Bearer" if sends_none else 'Bearer error="invalid_token"'
            assert answer.headers["www-authenticate"] == challenge
            assert TOKEN not in answer.text
    for headers in ({}, AFAR):
        right = {**headers, "authorization": f"Bearer {TOKEN}"}
        assert picky.service.post("/reload-model", headers=right).status_code == 200


def test_a_reload_from_afar_is_refused_where_no_token_is_set(guide: Guide) -> None:
    """The sentence says what to set."""
    told = problem(guide.service.post("/reload-model", headers=AFAR), 401, "unauthorized")
    assert "ADMIN_TOKEN" in told["detail"]
    assert guide.service.post("/reload-model").status_code == 200


def test_a_web_page_neither_reads_nor_changes(guide: Guide) -> None:
    """Not by a form, not from another origin, and not under a name that it made mean us."""
    service = guide.service
    for headers in (
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"sec-fetch-site": "cross-site"},
    ):
        for method, path in CHANGES:
            problem(change(service, method, path, **headers), 403, "forbidden")
    form = change(service, "POST", "/model/pin", **{"content-type": "text/plain"})
    problem(form, 415, "unsupported-content-type")
    rebound = {"host": "evil.example"}
    for path in ("/model/info", "/model/journal", "/schema/openapi.json"):
        problem(service.client.get(path, headers=rebound), 403, "forbidden")
    problem(service.post("/predict", b"{}", headers=rebound), 403, "forbidden")
    assert service.client.get("/health", headers=rebound).status_code == 200
    assert service.info()["pin"] is None


def test_every_answer_says_what_it_may_be_taken_for(guide: Guide) -> None:
    """The usual ones, errors, pages, and what is refused before it is a request."""
    service, page = guide.service, {"origin": "https://app.example.com"}
    large = {f"x-{number}": "x" for number in range(200)}
    answers = [
        service.client.get(path, headers=page)
        for path in ("/health", "/model/info", "/metrics", "/docs", "/v2", "/ping", "/nothing")
    ]
    answers += [
        service.client.post("/predict", json={"instances": guide.instances(1)}, headers=page),
        service.post("/predict", b"{", headers=page),
        service.client.get("/reload-model", headers=page),
        service.client.options("/predict", headers=page),
        service.client.get("/health", headers=large),
    ]
    assert {answer.status_code for answer in answers} >= {200, 400, 404, 405, 431}
    for answer in answers:
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], answer.url
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    kept = [a.headers.get("cache-control") for a in answers if a.request.method == "GET"]
    assert kept == ["no-store"] * 3 + ["no-cache"] + ["no-store"] * 4 + [None]


def test_no_page_of_ours_names_another_host(guide: Guide) -> None:
    """A browser that shows one asks nobody else; that of the schema has tests of its own."""
    for path in ("/", "/schema", "/schema/", "/schema/swagger", "/schema/redoc", "/docs"):
        answer = guide.service.get(path)
        assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", answer.text), path
        assert not re.findall(r"<script>|<style", answer.text), path


# -- what is never shown -----------------------------------------------------------------------


def test_the_registrys_password_is_never_shown(picky: Picky) -> None:
    """It opens the registry, and stands in no answer and in no line of the log."""
    shown = [picky.service.get(path).text for path in ("/health", "/model/info")]
    assert all("someone" not in text and "s3cr3t" not in text for text in shown)
    assert all("//***@127.0.0.1" in text for text in shown)
    log = picky.service.log.read_text("utf-8")
    assert "s3cr3t" not in log


@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/json; charset=utf-8", "application/vnd.apache.arrow.stream"],
)
@pytest.mark.parametrize("padding", [0, 2 * DEFAULT_RAW_BODY_BYTES])
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate, gzip"])
def test_a_compressed_body_is_refused_by_the_name_of_its_encoding(
    guide: Guide, kind: str, padding: int, encoding: str
) -> None:
    """Whichever way the request takes, and wherever it would be decoded."""
    headers = {"content-type": kind, "content-encoding": encoding}
    plain = b'{"instances": []}' + random.Random(5).randbytes(padding)
    body = gzip.compress(plain)
    assert (len(body) > DEFAULT_RAW_BODY_BYTES) == bool(padding)
    answer = guide.service.client.post("/predict", content=body, headers=headers)
    told = problem(answer, 415, "unsupported-content-type")
    assert f"{encoding!r}" in told["detail"]


@pytest.mark.parametrize("encodings", [["gzip"], ["identity", "gzip"]])
@pytest.mark.parametrize("padding", [0, 2 * DEFAULT_RAW_BODY_BYTES])
def test_a_plain_body_with_a_false_encoding_is_refused_by_its_name(
    guide: Guide, padding: int, encodings: list[str]
) -> None:
    """Though it could be read: what is said of a body counts, as it does on the way to us."""
    body = json.dumps({"instances": guide.instances(1)}).encode() + b" " * padding
    headers = [("content-type", "application/json")]
    as_it_is = [*headers, ("content-encoding", "identity")]
    assert guide.service.client.post("/predict", content=body, headers=as_it_is).is_success
    headers += [("content-encoding", encoding) for encoding in encodings]
    for path in ("/predict", "/model/pin"):
        answer = guide.service.client.post(path, content=body, headers=headers)
        assert "gzip" in problem(answer, 415, "unsupported-content-type")["detail"], path


@pytest.mark.parametrize("limit", ["999", "201", "0", "-1", "abc", "1.5", "", "9" * 5_000])
def test_a_wrong_parameter_is_told_with_what_it_may_be(guide: Guide, limit: str) -> None:
    """Not only that something was wrong, and before what the caller has sent, however long."""
    answer = guide.service.get(f"/model/journal?limit={limit}")
    assert problem(answer, 400, "")["detail"].startswith("limit may be 1 to 200: ")
    assert len(answer.content) < 2_000


@pytest.mark.parametrize("limit", ["1", "200"])
def test_a_parameter_may_be_either_of_its_bounds(guide: Guide, limit: str) -> None:
    """They are meant inclusively."""
    answer = guide.service.get(f"/model/journal?limit={limit}").raise_for_status()
    assert 1 <= len(answer.json()["promotions"]) <= int(limit)
