"""Packages that tests make: wheels and source packages of a few lines, and what is installed here.

The time of a file is its upload time for `tools/package_index.py`.
"""

import base64
import hashlib
import io
import os
import re
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import distribution
from pathlib import Path

UPLOADED = datetime(2020, 1, 1, tzinfo=UTC)
"""When packages were uploaded, unless it is said."""
_TIME = (2020, 1, 1, 0, 0, 0)
"""A zip holds times: the same package is the same bytes, whenever it is made."""
_TAG = "py3-none-any"


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    files: Mapping[str, str | bytes] | None = None,
    requires: Iterable[str] = (),
    requires_python: str = "",
    uploaded: datetime = UPLOADED,
) -> Path:
    """Make a wheel in `folder`; without files it has a module of its name, which tells its version.

    `files` are by their paths in site-packages; `requires` are dependencies as in metadata.
    """
    stem = _stem(name, version)
    module = name.replace("-", "_").replace(".", "_")
    contents = {f"{module}.py": f'__version__ = "{version}"\n'} if files is None else files
    info = f"{stem}.dist-info"
    whole = {
        **{path: _bytes(content) for path, content in contents.items()},
        f"{info}/METADATA": metadata(name, version, requires, requires_python).encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        f"Tag: {_TAG}\n".encode(),
    }
    return _write_wheel(folder / f"{stem}-{_TAG}.whl", whole, f"{info}/RECORD", uploaded)


def make_lending_wheel(
    folder: Path, name: str, version: str, *, uploaded: datetime = UPLOADED
) -> Path:
    """Make a wheel that has whatever is installed here imported where it is installed.

    So a model runs in an environment of its own without a download of all that MLflow needs.
    """
    here = sysconfig.get_path("purelib")
    return make_wheel(folder, name, version, files={f"{name}.pth": f"{here}\n"}, uploaded=uploaded)


def wheel_of_installed(folder: Path, name: str, *, uploaded: datetime = UPLOADED) -> Path:
    """Make a wheel of a package that is installed here, as it was when it was installed."""
    found = distribution(name)
    wheel = found.read_text("WHEEL")
    listed = found.files
    assert wheel is not None
    assert listed is not None
    left_out = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
    whole = {
        file.as_posix(): Path(str(file.locate())).read_bytes()
        for file in listed
        if file.name not in left_out and ".." not in file.parts and file.suffix != ".pyc"
    }
    tags = re.findall(r"^Tag: (.+)$", wheel, re.MULTILINE)
    parts = [
        ".".join(dict.fromkeys(part)) for part in zip(*(t.split("-") for t in tags), strict=True)
    ]
    info = next(path.partition("/")[0] for path in whole if path.endswith(".dist-info/METADATA"))
    file = folder / f"{info.removesuffix('.dist-info')}-{'-'.join(parts)}.whl"
    return _write_wheel(file, whole, f"{info}/RECORD", uploaded)


def make_sdist(
    folder: Path, name: str, version: str, *, on_build: str = "", uploaded: datetime = UPLOADED
) -> Path:
    """Make a source package that brings its own build backend, which runs `on_build` first.

    It builds the wheel that `make_wheel` makes, from nothing but the standard library.
    """
    stem = _stem(name, version)
    # The backend is this file, and a function that calls it.
    backend = (
        f"from pathlib import Path\nfrom made_packages import make_wheel, metadata\n{on_build}\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        f"    return make_wheel(Path(folder), {name!r}, {version!r}).name\n"
    )
    whole = {
        "PKG-INFO": metadata(name, version).encode(),
        "backend.py": backend.encode(),
        "made_packages.py": Path(__file__).read_bytes(),
        "pyproject.toml": (
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            f'[project]\nname = "{name}"\nversion = "{version}"\n'
        ).encode(),
    }
    file = folder / f"{stem}.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for path, content in whole.items():
            member = tarfile.TarInfo(f"{stem}/{path}")
            member.size, member.mtime = len(content), int(uploaded.timestamp())
            archive.addfile(member, io.BytesIO(content))
    return _dated(file, uploaded)


def metadata(
    name: str, version: str, requires: Iterable[str] = (), requires_python: str = ""
) -> str:
    """Return a package's core metadata."""
    lines = ["Metadata-Version: 2.3", f"Name: {name}", f"Version: {version}"]
    if requires_python:
        lines.append(f"Requires-Python: {requires_python}")
    lines.extend(f"Requires-Dist: {requirement}" for requirement in requires)
    return "\n".join(lines) + "\n"


def _write_wheel(file: Path, whole: Mapping[str, bytes], record: str, uploaded: datetime) -> Path:
    lines = [f"{path},{_digest(content)},{len(content)}" for path, content in whole.items()]
    lines.append(f"{record},,")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in {**whole, record: ("\n".join(lines) + "\n").encode()}.items():
            entry = zipfile.ZipInfo(path, _TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, 1)
    return _dated(file, uploaded)


def _dated(file: Path, uploaded: datetime) -> Path:
    os.utime(file, (uploaded.timestamp(), uploaded.timestamp()))
    return file


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"


def _stem(name: str, version: str) -> str:
    return f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}"


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
