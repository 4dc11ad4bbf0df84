"""Find what a version's environment is to consist of, in the files that came with it."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from service.core.artifact_names import ENVIRONMENT_LOCK
from service.core.described import NAME_CHARACTERS
from service.core.text import SENTENCE_CHARACTERS, bounded, presentable
from service.environments.inside.artifact_files import UnreadableFileError, read_text
from service.environments.inside.lines import Lines, logical_lines, read_lines, read_lock
from service.environments.inside.project import copy_project
from service.environments.messages import (
    CONDA,
    LOCK,
    MOST_LINES,
    REQUIREMENTS,
    UV_LOCK,
    WHEELS,
    Needs,
    ReadRequest,
)
from service.store.mlmodel import read_mlmodel, safe_load

WHEELS_FOLDER = "wheels"
"""Where MLflow's `WheeledModel` puts them (`mlflow/models/wheeled_model.py`, 3.17)."""
_MOST_BYTES = 4_000_000
_CHUNK_BYTES = 2**20
_SHOWN = 10
_NOT_CONDAS_OWN = frozenset({"python", "pip"})
"""What stands in every `conda.yaml` that MLflow writes."""
_CONDA_NAME = re.compile(r"(?:[^\s:]{1,100}::)?\s{0,8}([\w.-]{1,100})")
_CONDA_PYTHON = re.compile(r"python\s{0,8}={1,2}\s{0,8}(\d[\w.]{0,30})")


class _Conda:
    """A `conda.yaml`: its Python, the lines for pip, and what conda alone has."""

    def __init__(self, document: Any) -> None:
        self.python = ""
        self.lines: list[str] = []
        self.others: list[str] = []
        wanted = document.get("dependencies") if isinstance(document, dict) else None
        for one in wanted if isinstance(wanted, list) else []:
            if isinstance(one, dict):
                lines = one.get("pip")
                self.lines += map(str, lines if isinstance(lines, list) else [])
                continue
            name = _CONDA_NAME.match(str(one))
            if name is None or name[1].lower() not in _NOT_CONDAS_OWN:
                self.others.append(presentable(str(one), NAME_CHARACTERS))
            elif python := _CONDA_PYTHON.match(str(one)):
                self.python = python[1]


def read(request: ReadRequest) -> Needs:
    """Return what a version is to have installed, by the first of its files that says it.

    Raise OSError where the disk does not let them be read.
    """
    root = Path(request.path)
    try:
        return _read(root, request)
    except UnreadableFileError as error:
        return Needs(refusal=presentable(str(error)))


def _read(root: Path, request: ReadRequest) -> Needs:
    described = _mapping(root, "MLmodel", lambda: read_mlmodel(root))
    flavour = _within(described, "flavors", "python_function")
    conda = _Conda(_yaml(root / "conda.yaml"))
    python = (
        _word(flavour.get("python_version"))
        or _word(_within(_yaml(root / "python_env.yaml")).get("python"))
        or conda.python
    )
    found_by, lines, digest = _found(root, described, conda, request)
    refused = list(lines.refused)
    if conda.others:
        refused.append(f"conda.yaml wants of conda: {_listed(conda.others, ', ')}")
    if len(lines.accepted) > MOST_LINES:
        refused.append(f"{found_by} names more than {MOST_LINES} packages")
    return Needs(
        found_by=found_by,
        python=python,
        loader=_word(flavour.get("loader_module")),
        requirements=tuple(lines.accepted[:MOST_LINES]),
        is_lock=found_by in {WHEELS, UV_LOCK, LOCK},
        project_digest=digest,
        refusal=bounded(
            f"{found_by or CONDA}: {_listed(refused, '; ')}" if refused else "",
            SENTENCE_CHARACTERS,
        ),
    )


def _found(
    root: Path, described: dict[str, Any], conda: _Conda, request: ReadRequest
) -> tuple[str, Lines, str]:
    """Return the first file that says what is to be installed, with what it says."""
    requirements = list(logical_lines(read_text(root / "requirements.txt", _MOST_BYTES)))
    wheels = _wheels(root, described, requirements)
    if wheels:
        return WHEELS, _of_wheels(wheels), ""
    if (root / "uv.lock").is_file() and (root / "pyproject.toml").is_file():
        lines, digest = copy_project(root, request)
        return UV_LOCK, lines, digest
    if (root / ENVIRONMENT_LOCK).is_file():
        return LOCK, read_lock(logical_lines(read_text(root / ENVIRONMENT_LOCK, _MOST_BYTES))), ""
    if requirements:
        return REQUIREMENTS, read_lines(requirements, root, allow_urls=request.allow_urls), ""
    if conda.lines:
        return CONDA, read_lines(conda.lines, root, allow_urls=request.allow_urls), ""
    return "", Lines([], []), ""


def _wheels(root: Path, described: dict[str, Any], requirements: list[str]) -> list[Path]:
    """Return the wheels that MLflow put beside a model, none where it is not made so."""
    named = any(line.startswith(f"{WHEELS_FOLDER}/") for line in requirements)
    if not (named or isinstance(described.get(WHEELS_FOLDER), dict)):
        return []
    return sorted((root / WHEELS_FOLDER).glob("*.whl"))


def _of_wheels(wheels: list[Path]) -> Lines:
    lines, seen = Lines([], []), set[str]()
    for wheel in wheels:
        shown = presentable(wheel.name, NAME_CHARACTERS)
        try:
            name, version, _, _ = parse_wheel_filename(wheel.name)
        except (InvalidWheelFilename, ValueError):
            lines.refused.append(f"{shown} is no name of a wheel")
            continue
        if canonicalize_name(name) in seen:
            lines.refused.append(f"{shown} is not the only version of {name}")
        seen.add(canonicalize_name(name))
        lines.accepted.append(f"{name}=={version} --hash=sha256:{_sha256(wheel)}")
    return lines


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _yaml(file: Path) -> Any:
    return _mapping(file.parent, file.name, lambda: safe_load(read_text(file, _MOST_BYTES)))


def _mapping(root: Path, name: str, load: Any) -> dict[str, Any]:
    if not (root / name).is_file():
        return {}
    try:
        document = load()
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableFileError(f"{name} can't be read: {error}") from error
    return document if isinstance(document, dict) else {}


def _within(document: Any, *names: str) -> dict[str, Any]:
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def _word(value: Any) -> str:
    """Return a value as a short name, '' for what is none."""
    return presentable(value, NAME_CHARACTERS) if isinstance(value, str) else ""


def _listed(sentences: Iterable[str], between: str) -> str:
    all_of_them = list(sentences)
    more = len(all_of_them) - _SHOWN
    return between.join([*all_of_them[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])
