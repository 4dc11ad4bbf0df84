"""`hotswap status` beside a live service, beside one that goes away, and beside none."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.status_documents import info, listed
from tests.support.stub_http import Answer, serving
from tools import running_service
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.running_service import RunningService

STEADY, PINNED, EMPTY = "steady", "[red]größe_50%[bold]", "empty"
"""The second has what a terminal, a path and rich's markup would read as something else."""


@pytest.fixture(scope="module")
def several(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Serve a model, one with a pin, and one of which nothing is promoted."""
    folder = tmp_path_factory.mktemp("several")
    tables = []
    for name in (STEADY, PINNED, EMPTY):
        registered = unique_name("model")
        for factor in (1.0, 2.0):
            mlflow_server.register_tiny(registered, factor)
        if name != EMPTY:
            mlflow_server.set_alias(registered, "champion", 2)
        shown = json.dumps(name, ensure_ascii=False)
        tables.append(f'[models.{shown}]\nuri = "models:/{registered}@champion"\n')
    (folder / "models.toml").write_text("\n".join(tables), encoding="utf-8")
    with running_service.start(
        folder, mlflow_server.uri, models_file=folder / "models.toml", admin_token="a" * 32
    ) as service:
        for name in (STEADY, PINNED):
            service.wait_until(lambda name=name: serves(service, name), f"{name!r} serves")  # type: ignore[misc]
        pin = service.hotswap("pin", "1", "--model", PINNED, admin_token="a" * 32)
        assert pin.returncode == 0, pin.stderr
        yield service


def serves(service: RunningService, name: str) -> bool:
    """Whether a model can answer."""
    models = service.get("/models").json()["models"]
    return any(one["name"] == name and one["status"] == "healthy" for one in models)


def test_a_row_for_each_model_in_a_pipe(several: RunningService) -> None:
    """No colours, no escapes, bounded lines; status 1 for the model that has no version."""
    shown = several.hotswap("status", PYTHONIOENCODING="utf-8")
    assert (shown.returncode, shown.stderr) == (1, "")
    head, *rows = shown.stdout.splitlines()
    assert head.split()[0] == "Model"
    assert max(map(len, [head, *rows])) <= 160
    assert shown.stdout.replace("\n", "").isprintable()
    row = {line.split()[0]: line for line in rows if line}
    assert " serving " in row[STEADY]
    assert " serving " in row[PINNED]
    assert "nothing promoted" in row[EMPTY]
    assert f"{EMPTY}: nothing is promoted at models:/" in rows[-1]


def test_one_document(several: RunningService) -> None:
    """In ASCII, with names as they are: what programs read of each model."""
    assert several.post(f"/models/{STEADY}/predict", {"instances": [{"a": 1.0}]}).is_success
    shown = several.hotswap("status", "--json")
    assert shown.returncode == 1
    assert shown.stdout.isascii()
    document = json.loads(shown.stdout)
    assert document["answers"]
    models: dict[str, dict[str, Any]] = {one["name"]: one for one in document["models"]}
    assert list(models) == [STEADY, PINNED, EMPTY]
    steady, pinned, empty = models.values()
    assert (steady["state"], steady["serving_version"], steady["troubles"]) == ("serving", "2", [])
    assert (steady["workers"], steady["workers_alive"], steady["failed"]) == (1, 1, 0)
    assert steady["answered"] >= 1
    assert steady["registry_age_s"] < 60
    assert (pinned["promoted_version"], pinned["serving_version"]) == ("2", "1")
    assert (pinned["pinned_version"], pinned["can_answer"]) == ("1", True)
    assert (empty["state"], empty["can_answer"], empty["serving_version"]) == (
        *("nothing promoted", False, None),
    )


def test_without_a_service(tmp_path: Path) -> None:
    """A sentence, or a document that says so; status 2."""
    port = str(free_port())
    environment = {**os.environ, "PORT": port}
    for arguments in ([], ["--json"]):
        ended = subprocess.run(
            [sys.executable, "-m", "service", "status", *arguments],
            env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 2
        assert f"no service answers at http://127.0.0.1:{port} (" in ended.stdout
    assert json.loads(ended.stdout)["answers"] is False


def test_what_is_no_service_of_ours_is_said(tmp_path: Path) -> None:
    """Something else may have the port."""
    with serving(Answer(body=b"[1]")) as url, watching(url, tmp_path, "--json") as watch:
        document = next_document(watch)
        assert not document["answers"]
        assert "is not this service: /health can't be read" in document["error"]


def test_a_watch_goes_on_while_the_service_is_away(tmp_path: Path) -> None:
    """A line each second; Ctrl-C ends it with the last look's status."""
    answer = Answer()
    answers = {
        "/health": {"status": "healthy"},
        "/models": {"default": "a", "models": [listed("a"), listed("b/c")]},
        "/models/a/info": info(),
    }
    answer.choose = lambda path: (
        (200, json.dumps(answers[path]).encode()) if path in answers else (404, b"{}")
    )
    with serving(answer) as url, watching(url, tmp_path, "--json") as watch:
        # `b/c` is gone since it was listed.
        assert [one["name"] for one in next_document(watch)["models"]] == ["a"]
        assert "/models/b%2Fc/info" in answer.seen
        working = answer.choose
        answer.choose = lambda _: (500, b"{}")
        while (document := next_document(watch))["answers"]:
            pass
        assert document["error"].endswith("/health was answered with status 500")
        answer.choose = working
        while not next_document(watch)["answers"]:
            pass
        watch.send_signal(signal.SIGINT)
        assert watch.wait(30) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="has terminals of another kind")
def test_a_watch_in_a_terminal_gives_the_cursor_back(tmp_path: Path) -> None:
    """It refreshes in place while no service answers, until Ctrl-C or SIGTERM."""
    for ending, status in ((signal.SIGINT, 2), (signal.SIGTERM, 143)):
        terminal, inner = os.openpty()
        with watching(f":{free_port()}", tmp_path, stdout=inner, TERM="xterm") as watch:
            os.close(inner)
            said = b""
            while said.count(b"no service answers") < 2:
                said += os.read(terminal, 65_536)
            watch.send_signal(ending)
            # Linux says by an error that the other end is closed.
            with contextlib.suppress(OSError):
                while more := os.read(terminal, 65_536):
                    said += more
            assert watch.wait(30) == status
        os.close(terminal)
        assert b"\x1b[?25l" in said
        assert said.rindex(b"\x1b[?25h") > said.rindex(b"\x1b[?25l")


@contextlib.contextmanager
def watching(
    url: str, folder: Path, *arguments: str, stdout: int = subprocess.PIPE, **environ: str
) -> Iterator["subprocess.Popen[str]"]:
    """Run the command with --watch at a port, and end it afterwards."""
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PORT": url.rpartition(":")[2]}
    with subprocess.Popen(
        [sys.executable, "-m", "service", "status", "--watch", *arguments],
        env={**os.environ, **environment, **environ},
        cwd=folder,
        stdout=stdout,
        text=True,
    ) as watch:
        try:
            yield watch
        finally:
            watch.kill()


def next_document(watch: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return the next line that a watch writes."""
    assert watch.stdout is not None
    document: dict[str, Any] = json.loads(watch.stdout.readline())
    return document
