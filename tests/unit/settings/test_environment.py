"""`.env` fills in what the environment does not say."""

import os
from pathlib import Path

import pytest

from service.settings.environment import read_dotenv
from service.settings.errors import SettingsError


def test_a_dotenv_file_fills_in_but_never_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that are set already win over `.env`, whose byte order mark is no part of it."""
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("MODEL_ALIAS", "to be removed after the test")
    monkeypatch.delenv("MODEL_ALIAS")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("MODEL_ALIAS=champion\nPORT=1\n", encoding="utf-8-sig")
    read_dotenv()
    assert os.environ["MODEL_ALIAS"] == "champion"
    assert os.environ["PORT"] == "9000"


def test_a_dotenv_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """UTF-16, which PowerShell's '>' writes, is named rather than misread."""
    file = tmp_path / ".env"
    file.write_text("PORT=1", encoding="utf-16")
    with pytest.raises(SettingsError, match="allowed is UTF-8 text"):
        read_dotenv(file)


def test_a_dotenv_file_with_a_nul_is_refused(tmp_path: Path) -> None:
    """No variable can hold one: one line says so."""
    file = tmp_path / ".env"
    file.write_bytes(b"HOTSWAP_TEST=a\0b\n")
    with pytest.raises(SettingsError, match="allowed is UTF-8 text"):
        read_dotenv(file)


def test_no_dotenv_file_is_no_error(tmp_path: Path) -> None:
    """The file is optional."""
    read_dotenv(tmp_path / ".env")
