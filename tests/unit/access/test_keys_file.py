"""API_KEYS_FILE: what `hotswap key` writes, and what a service makes of it."""

import json
import os
import re
import stat
import threading
from pathlib import Path

import pytest

from service.access.keys import ApiKeys
from service.access.keys_file import KeysFileError, add_key, digest_of, read_keys, revoke_key
from service.access.principal import Scope
from service.settings import followed
from service.settings.errors import SettingsError
from tests.support.waiting import until

PREDICT = (Scope.PREDICT,)


def document(**changed: object) -> str:
    """Return a file with one key, of which some of it is another."""
    key = {"name": "app", "sha256": "a" * 64, "scopes": ["predict"], **changed}
    return json.dumps({"keys": [{name: value for name, value in key.items() if value is not ...}]})


def test_a_key_is_in_the_file_by_its_hash_alone(tmp_path: Path) -> None:
    """It has 256 random bits, and the file is its owner's alone."""
    file = tmp_path / "keys.json"
    made = [add_key(file, f"key{number}", PREDICT, ("a",)) for number in range(3)]
    assert len(set(made)) == 3
    assert all(re.fullmatch(r"hsk_[A-Za-z0-9_-]{43}", key) for key in made)
    text = file.read_text()
    assert not any(key in text for key in made)
    assert [key.sha256 for key in read_keys(file)] == [digest_of(key) for key in made]
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {item.name for item in tmp_path.iterdir()} == {"keys.json", "keys.json.lock"}


def test_a_name_stands_for_one_key(tmp_path: Path) -> None:
    """A second of the same name is refused; a revoked one is gone, and its name free again."""
    file = tmp_path / "keys.json"
    add_key(file, "app", PREDICT, None)
    before = file.read_bytes()
    with pytest.raises(KeysFileError, match="has a key 'app' already"):
        add_key(file, "app", PREDICT, None)
    with pytest.raises(KeysFileError, match="no key 'other'"):
        revoke_key(file, "other")
    assert file.read_bytes() == before
    revoke_key(file, "app")
    assert read_keys(file) == ()
    add_key(file, "app", PREDICT, None)


def test_keys_that_are_added_together_are_all_there(tmp_path: Path) -> None:
    """One writer waits for the other, and readers never see half a file."""
    file = tmp_path / "keys.json"
    add_key(file, "first", PREDICT, None)
    adding = [
        threading.Thread(target=add_key, args=(file, f"key{number}", PREDICT, None))
        for number in range(12)
    ]
    for thread in adding:
        thread.start()
    while any(thread.is_alive() for thread in adding):
        assert read_keys(file)
    assert len(read_keys(file)) == 13


@pytest.mark.skipif(os.name != "posix", reason="rights are POSIX's")
def test_a_file_that_exists_keeps_its_rights_and_its_link(tmp_path: Path) -> None:
    """The service may run as another user than the one that adds keys."""
    target, link = tmp_path / "real.json", tmp_path / "keys.json"
    add_key(target, "app", PREDICT, None)
    target.chmod(0o640)
    link.symlink_to(target)
    add_key(link, "other", PREDICT, None)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert len(read_keys(link)) == 2
    target.chmod(0o666)
    with pytest.raises(KeysFileError, match="everyone may write"):
        read_keys(link)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"keys": {}}',
        "[" * 100_000,
        document(sha256="A" * 64),
        document(sha256="a" * 63),
        document(sha256="hsk_" + "a" * 43),
        document(scopes=[]),
        document(scopes=["everything"]),
        document(scopes=...),
        document(models=[]),
        document(models="a"),
        document(name="a b"),
        document(name=""),
        document(more=1),
        json.dumps({"keys": [json.loads(document())["keys"][0]] * 2}),
        json.dumps(
            {"keys": [*json.loads(document())["keys"], *json.loads(document(name="b"))["keys"]]}
        ),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(tmp_path: Path, text: str) -> None:
    """Whole, and in one sentence: nothing is guessed, and nothing opened."""
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(KeysFileError) as refused:
        read_keys(file)
    assert "\n" not in str(refused.value)
    with pytest.raises(SettingsError, match=r"API_KEYS_FILE=.*hotswap key new"):
        ApiKeys(file)
    with pytest.raises(KeysFileError):
        add_key(file, "new", PREDICT, None)
    assert file.read_text() == text


def test_a_file_that_is_missing_opens_nothing(tmp_path: Path) -> None:
    """The service does not start; the sentence says how a first key is made."""
    with pytest.raises(SettingsError, match="hotswap key new"):
        ApiKeys(tmp_path / "keys.json")
    (tmp_path / "empty.json").write_text('{"keys": []}')
    ApiKeys(tmp_path / "empty.json")


async def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trouble is told; what was known before stays known until it can be read again."""
    monkeypatch.setattr(followed, "LOOK_S", 0.01)
    file = tmp_path / "keys.json"
    app = add_key(file, "app", PREDICT, ("a",))
    source = ApiKeys(file)
    forgotten: list[None] = []

    async with source.running(lambda: forgotten.append(None)):
        found = await source.principal_of(app)
        assert found is not None
        assert (found.name, found.models) == ("app", frozenset({"a"}))
        good = file.read_bytes()
        for broken in (b"{", b'{"keys": [{}]}', None):
            file.unlink()
            if broken is not None:
                file.write_bytes(broken)
            await until(lambda: bool(source.trouble), 10)
            assert await source.principal_of(app) == found
            assert "API_KEYS_FILE" in source.trouble
            assert not forgotten
        file.write_bytes(good)
        await until(lambda: bool(forgotten) and not source.trouble, 10)
        assert await source.principal_of(app) == found
        forgotten.clear()
        revoke_key(file, "app")
        await until(lambda: bool(forgotten), 10)
        assert await source.principal_of(app) is None
