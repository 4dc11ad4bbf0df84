import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.commands.demo.model import register, train
from tools import running_service
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

ROOT = Path(__file__).parents[2]
PAGES = "\n".join(
    page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *ROOT.glob("docs/*.md"))
)
CALLS = re.findall(r"<!-- test: (\d+) (.+?) -->\n```bash\n(.+?)\n```", PAGES, re.DOTALL)
SCRIPTS = re.findall(r"<!-- run: (.+?) -->\n```python\n(.+?)\n```", PAGES, re.DOTALL)
ADDRESS = "http://127.0.0.1:8080"


@pytest.fixture(scope="module")
def service(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Serve the demo's model, as the documents have it."""
    name = unique_name("readme")
    pipeline, inputs, _ = train(months=13, n_trees=5)
    with mlflow_server.active():
        register(mlflow_server.uri, pipeline, inputs, name=name)
    mlflow_server.set_alias(name, "champion", 1)
    with running_service.start(
        tmp_path_factory.mktemp("readme"),
        mlflow_server.uri,
        model_name=name,
        model_alias="champion",
    ) as running:
        yield running


@pytest.mark.parametrize(
    ("status", "part", "command"),
    CALLS,
    ids=[f"{status}-{index}" for index, (status, *_) in enumerate(CALLS)],
)
def test_the_documents_curl_calls_answer_as_it_says(
    service: RunningService, status: str, part: str, command: str
) -> None:
    """Each call gets the status and the part of an answer that stand above it."""
    assert ADDRESS in command
    script = command.replace(ADDRESS, service.url) + " --noproxy '*' -w '\\n%{http_code}'"
    ended = subprocess.run(
        ["bash", "-c", script],  # noqa: S607 - found as readers' shells find it
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    body, _, code = ended.stdout.rpartition("\n")
    assert code == status, body
    assert part in body


@pytest.mark.parametrize(("part", "script"), SCRIPTS)
def test_the_documents_scripts_print_what_they_say(
    service: RunningService, part: str, script: str
) -> None:
    """Each ends well, and prints the part that stands above it."""
    assert ADDRESS in script
    ended = subprocess.run(
        [sys.executable, "-c", script.replace(ADDRESS, service.url)],
        env={**os.environ, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert part in ended.stdout


def test_the_documents_have_calls_to_test() -> None:
    """The marks above their calls are still read."""
    assert len(SCRIPTS) >= 1
    assert len(CALLS) >= 5
    assert PAGES.count("```bash\ncurl") == len(CALLS)


def test_the_readmes_answer_has_the_shape_of_a_real_one(service: RunningService) -> None:
    """The example of an answer has the fields that an answer has."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"```json\n(.+?)\n```", readme, re.DOTALL)
    command = CALLS[0][2].replace(ADDRESS, service.url)
    answer = subprocess.run(
        ["bash", "-c", command + " --noproxy '*'"],  # noqa: S607 - as above
        capture_output=True,
        timeout=90,
        check=True,
    ).stdout
    example, real = json.loads(shown), json.loads(answer)
    assert list(example) == list(real)
    assert list(example["predictions"][0]) == list(real["predictions"][0])
