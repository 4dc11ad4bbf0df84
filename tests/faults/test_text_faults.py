"""Texts and documents of callers, models and artifacts: none holds up, or breaks, what serves."""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support import followed
from tests.support.followed import ALIAS
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

LONGEST_LIVE_S = 1.5
"""Of `/health/live` meanwhile: on a machine that does other work, too. It took tens of seconds."""
MOST_MB = 200
WITH_USER = "http://user:s3cret@registry.test/path "
EVIL = f"{WITH_USER}\x1b[2J\u202e"


@pytest.fixture(scope="module")
def name(mlflow_server: MlflowServer) -> str:
    """Register a model whose version 1 does as its rows say."""
    return followed.register_unruly(mlflow_server, "texts", 2.0)


@pytest.fixture(scope="module")
def service(
    mlflow_server: MlflowServer, name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Serve version 1, for all tests of this module."""
    folder = tmp_path_factory.mktemp("texts")
    with followed.serving(folder, mlflow_server.uri, name, probation_s=0) as running:
        yield running


@contextlib.contextmanager
def answering(service: RunningService) -> Iterator[None]:
    """Have the service answer meanwhile, and grow by little."""
    server = psutil.Process(service.process.pid)
    before_mb = server.memory_info().rss / 2**20
    took_s, over = list[float](), threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            while True:
                started = time.monotonic()
                client.get("/health/live").raise_for_status()
                took_s.append(time.monotonic() - started)
                if over.wait(0.05):
                    return

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()
    assert took_s
    assert max(took_s) < LONGEST_LIVE_S
    assert server.memory_info().rss / 2**20 - before_mb < MOST_MB


def edited(server: MlflowServer, name: str, folder: Path, edit: Callable[[Path], None]) -> str:
    """Register a tiny model whose files were edited before they were logged."""
    with server.active() as mlflow:
        source = mlflow.artifacts.download_artifacts(
            artifact_uri=server.tiny_source(), dst_path=str(folder)
        )
        edit(Path(source))
        with mlflow.start_run() as run:
            mlflow.log_artifacts(source, "model")
    run_id = run.info.run_id
    return server.register_source(name, f"runs:/{run_id}/model", run_id)


def promoted(service: RunningService, server: MlflowServer, name: str, version: str) -> Any:
    """Promote a version, and return what came of it."""
    server.set_alias(name, ALIAS, version)
    service.wait_until(
        lambda: (
            (last := service.info()["promotions"][0])["version"] == version
            and last["ending"] != "under way"
        ),
        f"version {version} came to its end",
    )
    return service.info()["promotions"][0]


def test_a_long_word_in_a_request_holds_up_nobody(service: RunningService) -> None:
    """The model quotes it in its exception: the answer is short, and holds no credentials."""
    with answering(service):
        for text in ("0f" * 8_000, "a://b:" * 10_000, "token=" * 10_000):
            answer = service.predict({"a": 1.0, "do": f"quote:{EVIL}{text}"})
            assert answer.status_code == 500
            assert len(answer.content) < 2_000
            detail = answer.json()["detail"]
            assert "the model raised ValueError: unknown" in detail
            assert "more characters" in detail
            assert not {"\x1b", "\u202e"} & set(detail)
            assert "s3cret" not in answer.text
    assert "s3cret" not in str(service.events())


def test_a_long_line_that_a_model_prints_holds_up_nobody(service: RunningService) -> None:
    """It is logged by its beginning; what is printed too fast is counted."""
    with answering(service):
        assert service.predict({"a": 1.0, "do": f"print:{EVIL}"}).status_code == 200
        assert service.predict({"a": 1.0, "do": "flood"}).status_code == 200
        service.wait_until(
            lambda: any("came too fast" in event["event"] for event in service.events()),
            "lines were counted",
        )
    lines = [e["event"] for e in service.events() if e["event"].startswith("print:")]
    assert lines
    assert all(len(line) < 3_000 for line in lines)
    assert r"http://***@registry.test/path \x1b[2J\u202e" in lines[0]
    assert re.search(r" \.\.\. \((58|59)\d\d\d more characters\)$", lines[0])


def test_a_model_description_of_aliases_is_refused(
    service: RunningService, mlflow_server: MlflowServer, name: str, tmp_path: Path
) -> None:
    """A few lines of YAML stand for ten billion values: nobody makes them."""

    def bomb(model: Path) -> None:
        described = (model / "MLmodel").read_text("utf-8")
        lines = ["a0: &a0 [x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]
        described = (
            "\n".join(lines)
            + "\n"
            + described.replace("python_version:", "python_version: *a10\n    was:")
        )
        (model / "MLmodel").write_text(described, "utf-8")

    version = edited(mlflow_server, name, tmp_path, bomb)
    with answering(service):
        promotion = promoted(service, mlflow_server, name, version)
    assert promotion["ending"] == "refused"
    assert "MLmodel is more than is read" in promotion["reason"]


def test_requirements_of_any_length_are_compared(
    service: RunningService, mlflow_server: MlflowServer, name: str, tmp_path: Path
) -> None:
    """A line of 200 kB, and as many lines as there may be: the verdict is short."""

    def lengthen(model: Path) -> None:
        lines = [f"numpy{'=' * 200_000}", "x" * 200_000, *(f"no-such-{n}" for n in range(20_000))]
        (model / "requirements.txt").write_text("\n".join(lines), "utf-8")

    version = edited(mlflow_server, name, tmp_path, lengthen)
    with answering(service):
        promotion = promoted(service, mlflow_server, name, version)
    verdict = next(v for v in promotion["verdicts"] if v["gate"] == "environment")
    assert "no-such-0 wanted, none found" in verdict["reason"]
    assert len(verdict["reason"]) <= 500


def test_a_reason_of_fifty_thousand_lines_is_told_in_a_few(
    service: RunningService, mlflow_server: MlflowServer, name: str
) -> None:
    """In /model/info, /health, the journal and the log."""
    version = mlflow_server.register_unruly(name, 2.0, on_load=f"lines:{WITH_USER}")
    with answering(service):
        promotion = promoted(service, mlflow_server, name, version)
    assert promotion["ending"] == "refused"
    assert "line 1" in promotion["reason"]
    for path in ("/model/info", "/health", "/model/journal"):
        shown = service.get(path).text
        assert len(shown) < 60_000
        assert "s3cret" not in shown
    assert all(len(str(event)) < 60_000 for event in service.events())
