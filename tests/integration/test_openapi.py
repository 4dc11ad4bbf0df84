"""The OpenAPI document of a live service, and the page that shows it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.commands.demo.model import NAME
from tests.support.client_environments import said_by
from tests.support.guide import Guide

DOCUMENT = "/schema/openapi.json"
PAGE = "/docs"
CHROMIUM = shutil.which("chromium")


def document_of(guide: Guide) -> dict[str, Any]:
    """Return the document of a service."""
    document: dict[str, Any] = guide.service.get(DOCUMENT).raise_for_status().json()
    return document


def test_the_document_is_of_the_version_that_serves(guide: Guide) -> None:
    """Its headers and its `info` name model and version."""
    answer = guide.service.get(DOCUMENT)
    info = guide.service.info()
    assert answer.headers["x-model-version"] == info["model_version"]
    assert answer.headers["x-model-name"] == info["model_name"]
    told = answer.json()["info"]
    assert told["version"] == info["model_version"]
    assert info["model_name"] in told["title"]


@pytest.mark.parametrize("path", [DOCUMENT, PAGE, f"{PAGE}/swagger-ui.css"])
def test_a_caller_that_has_it_is_told_so(guide: Guide, path: str) -> None:
    """By `ETag` and `If-None-Match`; HEAD has the same headers and no body."""
    answer = guide.service.get(path)
    etag = answer.headers["etag"]
    assert answer.headers["cache-control"] == "no-cache"
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = guide.service.client.get(path, headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert guide.service.client.get(path, headers={"if-none-match": '"other"'}).status_code == 200
    head = guide.service.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-type", "content-length"):
        assert head.headers[name] == answer.headers[name]
    refused = guide.service.post(path)
    assert refused.status_code == 405
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_every_call_of_the_service_is_described(guide: Guide) -> None:
    """Each path that the document has exists, and each call has one name of its own."""
    document = document_of(guide)
    calls = [call for item in document["paths"].values() for call in item.values()]
    names = [call["operationId"] for call in calls]
    assert len(set(names)) == len(names)
    for path, item in document["paths"].items():
        filled = path.replace("{name}", NAME).replace("{version}", guide.version)
        allowed = guide.service.client.options(filled).headers["allow"].split(", ")
        assert {method.upper() for method in item} <= set(allowed), path


def test_its_examples_are_answered(guide: Guide) -> None:
    """Each example of each call is one that the call answers with 200."""
    document = document_of(guide)
    shown = 0
    for path, item in document["paths"].items():
        if "post" not in item or "requestBody" not in item["post"]:
            continue
        body = item["post"]["requestBody"]["content"].get("application/json", {})
        for reference in body.get("examples", {}).values():
            name = reference["$ref"].rpartition("/")[2]
            value = document["components"]["examples"][name]["value"]
            answer = guide.service.post(path, value)
            assert answer.status_code == 200, (path, answer.text)
            shown += 1
    # Rows and columns twice, two forms of MLflow's by four paths, tensors twice.
    assert shown == 2 * 2 + 2 * 4 + 2


def test_the_page_loads_from_this_service_alone(guide: Guide) -> None:
    """Whatever it names is here, of the right kind, and its policy forbids all else."""
    page = guide.service.get(PAGE)
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(r"https?:|//[a-z]|\bon\w+=|<style|<script>|style=", page.text)
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    kinds = {"js": "text/javascript", "css": "text/css", "png": "image/png"}
    assert len(named) == 5
    for name in named:
        file = guide.service.get(f"/{name}").raise_for_status()
        assert file.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
        assert file.headers["x-content-type-options"] == "nosniff"
        assert file.content
    script = guide.service.get("/docs/docs.js").text
    assert not re.findall(r"https?:", script)
    assert re.findall(r'url: "([^"]+)"', script) == [DOCUMENT.removeprefix("/")]


def test_there_is_no_other_file_beside_the_page(guide: Guide) -> None:
    """Not by a path that leads out of its folder either."""
    for name in ("page.py", "docs.html", "LICENSE", "..%2fpage.py", "%2e%2e/page.py"):
        assert guide.service.get(f"{PAGE}/{name}").status_code == 404, name


def test_a_generated_client_predicts(guide: Guide, tmp_path: Path) -> None:
    """One that a public generator makes of the document: by rows, by columns, by tensors."""
    said = said_by("generated", guide.service.url, str(tmp_path))
    # All that it leaves out are bodies that are not JSON.
    left_out = re.findall("Unsupported content type text/csv|Missing schema", said["warnings"])
    assert len(set(left_out)) == 2
    assert said["warnings"].count("WARNING") == len(left_out), said["warnings"]
    assert "Unable" not in said["warnings"]
    assert said["version"] == guide.version
    rows = document_of(guide)["components"]["examples"][f"{NAME}.rows"]["value"]
    expected = guide.service.post("/predict", rows).json()["predictions"]
    assert said["rows"] == expected
    by_name = {name: [row[name] for row in expected] for name in expected[0]}
    assert said["columns"] == by_name
    assert said["tensors"] == by_name
    status, problem = said["refused"]
    assert status == 400
    assert problem["path"] == "instances[0].pct_pdf"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_browser_shows_it_and_asks_nobody_else(guide: Guide, tmp_path: Path) -> None:
    """Each call is on the page, whose policy stopped nothing, and all came from this service."""
    log = tmp_path / "requests.json"
    shown = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
            *("--no-first-run", "--disable-background-networking", "--disable-sync"),
            *("--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--enable-logging=stderr", f"--log-net-log={log}", "--virtual-time-budget=20000"),
            *("--dump-dom", guide.service.url + PAGE),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    for call in ("predict", "invocations", f"v2_infer_{NAME}", "reload"):
        assert f"-{call}" in shown.stdout, call
    # What a page writes on its console is told so: a policy that stops something, too.
    assert ":CONSOLE" not in shown.stderr, shown.stderr
    told = json.loads(log.read_text("utf-8"))
    kinds = {number: name for name, number in told["constants"]["logEventTypes"].items()}
    requests = [
        event["params"]
        for event in told["events"]
        if kinds[event["type"]] == "URL_REQUEST_START_JOB" and "url" in event.get("params", {})
    ]
    # The browser's own have no page that began them.
    asked = {one["url"] for one in requests if one["initiator"] != "not an origin"}
    assert f"{guide.service.url}{DOCUMENT}" in asked
    assert len(asked) >= 5
    assert {url for url in asked if not url.startswith(f"{guide.service.url}/")} == set()
