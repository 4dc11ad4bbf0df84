"""`hotswap key`: what it prints where, and how it ends."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.access.keys import ApiKeys
from service.access.principal import Scope
from service.cli import cli


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run it in a folder without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("API_KEYS_FILE", raising=False)


def run(*arguments: str) -> Result:
    """Run `hotswap key` with these arguments."""
    return CliRunner().invoke(cli, ["key", *arguments], catch_exceptions=False)


async def test_a_new_key_is_printed_alone_and_opens(tmp_path: Path) -> None:
    """On stdout, so that a program can take it; what is said of it goes to stderr."""
    file = tmp_path / "keys.json"
    made = run(
        *("new", "--name", "app", "--scope", "predict", "--scope", "read", "--model", "größe"),
        *("--file", str(file)),
    )
    assert made.exit_code == 0, made.output
    key = made.stdout.removesuffix("\n")
    assert key.split() == [key]
    assert "shown this once" in made.stderr
    assert key not in made.stderr
    found = await ApiKeys(file).principal_of(key)
    assert found is not None
    assert (found.name, found.models) == ("app", frozenset({"größe"}))
    assert found.scopes == {Scope.PREDICT, Scope.READ}


def test_keys_are_listed_and_revoked_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the file of API_KEYS_FILE where none is given; no key and no hash is shown."""
    file = tmp_path / "keys.json"
    monkeypatch.setenv("API_KEYS_FILE", str(file))
    key = run("new", "--name", "app", "--scope", "predict", "--model", "a").stdout.strip()
    run("new", "--name", "ops", "--scope", "admin")
    listed = run("list")
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert lines[0] == ["NAME", "SCOPES", "MODELS", "CREATED"]
    assert [line[:3] for line in lines[1:]] == [
        ["app", "predict", "a"],
        ["ops", "admin", "every"],
    ]
    assert key not in listed.output
    assert run("revoke", "app").exit_code == 0
    assert "app" not in run("list").stdout
    again = run("revoke", "app")
    assert (again.exit_code, "no key 'app'" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("new", "--name", "app", "--scope", "predict"), 2, "API_KEYS_FILE"),
        (("list",), 2, "API_KEYS_FILE"),
        (("list", "--file", "none.json"), 1, "can't be read"),
        (("new", "--name", "app", "--file", "k.json"), 2, "--scope"),
        (("new", "--name", "app", "--scope", "all", "--file", "k.json"), 2, "--scope"),
        (("new", "--name", "a b", "--scope", "read", "--file", "k.json"), 1, "key's name"),
        (
            ("new", "--name", "a", "--scope", "read", "--model", "a/b", "--file", "k.json"),
            *(1, "no model can be called 'a/b'"),
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """Nothing is written then."""
    ended = run(*arguments)
    assert ended.exit_code == status, ended.output
    assert said in ended.stderr
    assert not list(tmp_path.glob("*.json"))
