"""A project's `uv.lock` with its `pyproject.toml`: what of it may be believed, and a copy of it."""

import hashlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from service.core.text import NAME_CHARACTERS, presentable
from service.environments.inside.artifact_files import read_text
from service.environments.inside.lines import Lines
from service.environments.messages import ReadRequest

PROJECT = "pyproject.toml"
UV_LOCK = "uv.lock"
PYPI = "https://pypi.org/simple"
_FILES_OF_PYPI = "files.pythonhosted.org"
_MOST_BYTES = 32_000_000
_HARMLESS = frozenset(
    {
        *("conflicts", "constraint-dependencies", "default-groups", "dependency-groups"),
        *("dev-dependencies", "environments", "exclude-dependencies", "exclude-newer"),
        *("exclude-newer-package", "fork-strategy", "managed", "override-dependencies"),
        *("package", "prerelease", "required-environments", "required-version", "resolution"),
    }
)
"""Settings in `[tool.uv]` that name no place and start nothing."""
_BY_BACKENDS = frozenset({"dependencies", "optional-dependencies"})
_OF_PLACES = frozenset({"index", "sources", "find-links", "index-url", "extra-index-url"})


def copy_project(root: Path, request: ReadRequest) -> tuple[Lines, str]:
    """Copy the two files, and return what is refused of them, and a digest of both.

    Nothing is copied where something is refused. Raise UnreadableFileError.
    """
    texts = {name: read_text(root / name, _MOST_BYTES) for name in (PROJECT, UV_LOCK)}
    try:
        project, lock = (tomllib.loads(texts[name]) for name in (PROJECT, UV_LOCK))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return Lines([], [f"it can't be read: {presentable(str(error), NAME_CHARACTERS)}"]), ""
    refused = [
        *_refused_settings(project, allow_urls=request.allow_urls),
        *_refused_requirements(project, allow_urls=request.allow_urls),
        *_refused_places(lock, request),
    ]
    if refused:
        return Lines([], sorted(set(refused))), ""
    folder = Path(request.copy_to)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    digest = hashlib.sha256("\0".join(texts.values()).encode()).hexdigest()
    return Lines([], []), digest


def _refused_settings(project: dict[str, Any], *, allow_urls: bool) -> Iterator[str]:
    settings = _table(_table(project.get("tool")).get("uv"))
    for name in settings:
        shown = presentable(name, NAME_CHARACTERS)
        if name in _OF_PLACES:
            if not allow_urls:
                yield f"[tool.uv] has {shown} (ENV_ALLOW_URLS)"
        elif name not in _HARMLESS:
            yield f"[tool.uv] has {shown}"


def _refused_requirements(project: dict[str, Any], *, allow_urls: bool) -> Iterator[str]:
    own = _table(project.get("project"))
    dynamic = own.get("dynamic")
    if isinstance(dynamic, list) and _BY_BACKENDS.intersection(map(str, dynamic)):
        # uv would run the project's own build backend to know them.
        yield "[project] leaves what it needs to a build backend (dynamic)"
    groups = (*_table(own.get("optional-dependencies")).values(),)
    groups += (*_table(project.get("dependency-groups")).values(),)
    settings = _table(_table(project.get("tool")).get("uv"))
    lists = [own.get("dependencies"), *groups]
    lists += [settings.get(name) for name in settings if name.endswith("-dependencies")]
    for line in (line for one in lists if isinstance(one, list) for line in one):
        if not isinstance(line, str):
            continue  # a group that includes another one
        shown = presentable(line, NAME_CHARACTERS)
        try:
            if Requirement(line).url and not allow_urls:
                yield f"{shown} names a URL or a path (ENV_ALLOW_URLS)"
        except (InvalidRequirement, ValueError, RecursionError):
            yield f"{shown} is no requirement"


def _refused_places(lock: dict[str, Any], request: ReadRequest) -> Iterator[str]:
    """Say what of a lock comes from elsewhere than the operator's indexes."""
    if request.allow_urls:
        return
    for package in _packages(lock):
        name = presentable(str(package.get("name")), NAME_CHARACTERS)
        source = _table(package.get("source"))
        index = source.get("registry")
        if not isinstance(index, str):
            if source not in ({"virtual": "."}, {"editable": "."}, {"directory": "."}):
                yield f"{name} comes from no index (ENV_ALLOW_URLS)"
            continue
        if _bare(index) not in map(_bare, request.trusted_urls):
            shown = presentable(index, NAME_CHARACTERS)
            yield f"it names the index {shown}, which is none of this service's (ENV_ALLOW_URLS)"
        elif not all(_is_of(index, address) for address in _addresses(package)):
            yield f"a file of {name} is not at its index (ENV_ALLOW_URLS)"


def _addresses(package: dict[str, Any]) -> Iterator[str]:
    wheels = package.get("wheels")
    for file in [*(wheels if isinstance(wheels, list) else []), package.get("sdist")]:
        address = _table(file).get("url")
        if address is not None:
            yield str(address)


def _is_of(index: str, address: str) -> bool:
    try:
        of_index, of_file = urlsplit(index), urlsplit(address)
    except ValueError:
        return False
    if of_file.scheme != of_index.scheme or "@" in of_file.netloc:
        return False
    host = _FILES_OF_PYPI if _bare(index) == PYPI else of_index.netloc.rpartition("@")[2]
    return of_file.netloc == host


def _packages(lock: dict[str, Any]) -> list[dict[str, Any]]:
    packages = lock.get("package")
    return [_table(one) for one in packages] if isinstance(packages, list) else []


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _bare(address: str) -> str:
    """Return an index's URL without its user, so that two ways to write it are one."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
