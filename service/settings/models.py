"""Several models: `MODELS`, a short list, or `MODELS_FILE`, a TOML file with settings for each."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from service.core.text import presentable
from service.core.versions import InvalidModelUriError, ModelRef, is_model_name
from service.settings.deployment import POINTER, DeploymentSettings
from service.settings.errors import SettingsError
from service.settings.texts import convert_setting, show

_LARGEST_FILE_BYTES = 1_048_576
_MOST_MODELS = 1000
"""More models are a mistake in the file: each has processes of its own."""
_NOT_IN_PATHS = frozenset({".", ".."})
"""Names that clients resolve before they send a path."""
_FIELDS = {
    field.name: field
    for field in msgspec.structs.fields(DeploymentSettings)
    if field.name not in POINTER
}


def read_models(text: str, defaults: DeploymentSettings) -> dict[str, DeploymentSettings]:
    """Return the deployments that `NAME=URI,NAME=URI` describes.

    Raises:
        SettingsError: it can't be read so, or a name stands there twice.
    """
    deployments: dict[str, DeploymentSettings] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, found, uri = (part.strip() for part in entry.partition("="))
        if not found:
            raise _wrong(entry, "NAME=URI, separated by commas")
        if name in deployments:
            raise _wrong(entry, f"one pointer for each name, and {show(name)} has another one")
        with _at(f"MODELS, {show(entry)}"):
            deployments[name] = _deployment(name, {"uri": uri}, defaults)
    return deployments


def read_models_file(file: Path, defaults: DeploymentSettings) -> dict[str, DeploymentSettings]:
    """Return the deployments that a file describes. This reads from the disk.

    Raises:
        SettingsError: it can't be read, describes no model, or something in it is wrong.
    """
    where = f"MODELS_FILE ({show(file.name)})"
    try:
        if file.exists() and not file.is_file():
            # A pipe would be waited for, for ever.
            raise SettingsError(f"{where} can't be read: it is no regular file")
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_FILE_BYTES + 1)
        if len(content) > _LARGEST_FILE_BYTES:
            raise SettingsError(f"{where} is wrong: allowed are {_LARGEST_FILE_BYTES} bytes")
        document = tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{where} can't be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(presentable(f"{where} is no TOML: {error}")) from None
    tables = document.pop("models", None)
    if document:
        raise SettingsError(
            f"{where} is wrong: {show(next(iter(document)))} is none of [models.NAME]"
        )
    if not isinstance(tables, dict) or not tables:
        raise SettingsError(f"{where} describes no model: allowed is a table [models.NAME] each")
    if len(tables) > _MOST_MODELS:
        raise SettingsError(f"{where} is wrong: allowed are {_MOST_MODELS} models")
    deployments: dict[str, DeploymentSettings] = {}
    for name, table in tables.items():
        with _at(f"{where}, [models.{show(name)}]"):
            deployments[name] = _deployment(name, table, defaults)
    return deployments


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Say where it is, in front of what is wrong."""
    try:
        yield
    except (SettingsError, InvalidModelUriError) as error:
        raise SettingsError(f"{where}: {error}") from None


def _deployment(name: str, table: object, defaults: DeploymentSettings) -> DeploymentSettings:
    """Return one deployment's settings; what its table doesn't say comes from the environment."""
    if not is_model_name(name) or name in _NOT_IN_PATHS:
        raise SettingsError(
            "the name is wrong: allowed is a name without '/', ':' or control character"
        )
    if not isinstance(table, Mapping) or not isinstance(table.get("uri"), str):
        raise SettingsError("a uri such as models:/NAME@ALIAS is missing")
    ModelRef.parse(table["uri"])
    values = {key: _value(key, value) for key, value in table.items() if key != "uri"}
    settings = msgspec.structs.replace(
        defaults, model_uri=table["uri"], model_name=name, model_stage="", model_alias="", **values
    )
    settings.check()
    return settings


def _value(key: str, value: object) -> Any:
    """Return a value by the type of its setting, whether it is a text or TOML's own."""
    field = _FIELDS.get(key)
    if field is None:
        near = difflib.get_close_matches(key, _FIELDS, 1)
        hint = f"; {near[0]} is one" if near else ""
        raise SettingsError(f"{show(key)} is no setting of a model{hint}")
    if isinstance(value, (dict, list)):
        raise SettingsError(f"{key} is wrong: allowed is a single value")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return convert_setting(key, field.type, text)


def _wrong(entry: str, allowed: str) -> SettingsError:
    return SettingsError(f"MODELS, {show(entry)} is wrong: allowed is {allowed}")
