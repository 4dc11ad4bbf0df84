"""The Dockerfile, its context, and whether what it names is the service's own."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.dockerfile import context, instructions, stages, variables
from tests.support.own_names import commands, unknown

ROOT = Path(__file__).parents[2]
FOUND = instructions((ROOT / "Dockerfile").read_text("utf-8"))
BUILD, IMAGE = stages(FOUND)


def one(name: str) -> str:
    """Return the text of the image's only instruction of a name."""
    [found] = [each.text for each in IMAGE if each.name == name]
    return found


def files() -> list[str]:
    """Return each file of this folder that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - as found
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def test_a_build_sees_what_it_copies_and_nothing_else() -> None:
    """No test, no secret, no environment reaches the builder."""
    seen = context(ROOT, (ROOT / ".dockerignore").read_text("utf-8"), files())
    copied = [
        source
        for each in BUILD
        if each.name == "COPY"
        for source in each.words[:-1]
        if not source.startswith("--")
    ]
    assert copied
    for name in copied:
        assert {file for file in seen if file == name or file.startswith(f"{name}/")}, name
    assert {file for file in seen if file.split("/")[0] not in copied} == set()
    assert not [file for file in seen if "__pycache__" in file]


@pytest.mark.parametrize("path", [".env", ".venv/bin/python", "deploy/README.md", "service/a.pyc"])
def test_what_is_no_source_stays_out(path: str, tmp_path: Path) -> None:
    """The rules say so whether the file is there today or not."""
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).touch()
    rules = (ROOT / ".dockerignore").read_text("utf-8")
    assert context(tmp_path, rules, [path]) == set()


def test_everything_comes_from_a_lock_with_hashes() -> None:
    """No step that installs does without."""
    installs = [each.text for each in FOUND if "pip" in each.text and " install " in each.text]
    assert len(installs) == 2
    for text in installs:
        assert "--no-deps" in text
        assert "--require-hashes" in text or "--no-build-isolation" in text, text


def test_it_runs_as_a_user_without_rights() -> None:
    """By number, so that an orchestrator can tell that it is not root."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", one("USER"))


def test_no_shell_stands_between_the_service_and_its_signals() -> None:
    """The exec form: the service is PID 1."""
    assert one("ENTRYPOINT") == '["hotswap"]'
    assert one("STOPSIGNAL") == "SIGTERM"


def test_what_it_sets_and_runs_exists() -> None:
    """Each variable is a setting, each command one of the service's."""
    assert unknown(set(variables(IMAGE))) == set()
    [command] = [each.words for each in IMAGE if each.name == "CMD"]
    assert command == ["serve"]
    health = one("HEALTHCHECK").partition("CMD ")[2]
    assert health == '["hotswap", "status"]'
    assert {"serve", "status"} <= commands()
    assert one("EXPOSE") == variables(IMAGE)["PORT"]


def test_one_folder_is_written_to() -> None:
    """The volume is where versions, temporary files and HOME are."""
    assert one("VOLUME") == '["/var/lib/hotswap"]'
    set_to = variables(IMAGE)
    assert {set_to[name] for name in ("HOME", "TMPDIR")} == {"/var/lib/hotswap"}
    # A folder below: an orchestrator may make the volume itself another user's.
    assert set_to["CACHE_DIR"] == "/var/lib/hotswap/cache"
