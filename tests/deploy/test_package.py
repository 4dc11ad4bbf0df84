"""The wheel and the sdist: what is in them, and what their metadata says."""

import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGE = {
    file.relative_to(ROOT).as_posix()
    for file in (ROOT / "service").rglob("*")
    if file.is_file() and "__pycache__" not in file.parts
}
ALONE = {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"}
"""What the sdist has beside the package."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both, and return their folder."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder, "wheel", "sdist")
    return folder


def build(source: Path, folder: Path, *targets: str) -> None:
    """Build what a folder has the source of."""
    wanted = [part for target in targets for part in ("-t", target)]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder), *wanted],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=60,
    )


def wheel(folder: Path) -> zipfile.ZipFile:
    """Open the wheel of a folder."""
    [file] = folder.glob("*.whl")
    return zipfile.ZipFile(file)


def metadata(folder: Path) -> Message:
    """Return what a wheel says of itself."""
    with wheel(folder) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return BytesParser().parsebytes(archive.read(name))


def test_the_wheel_has_the_package_and_nothing_else(built: Path) -> None:
    """Every file of it is there, type information and pages among them, and no test is."""
    with wheel(built) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert "service/py.typed" in names
    assert names == PACKAGE


def test_the_wheel_says_its_licence(built: Path) -> None:
    """The licence is named, and shipped as a file with those of what the package brings."""
    said = metadata(built)
    assert said["License-Expression"] == "Apache-2.0"
    assert said.get_all("License-File") == PROJECT["license-files"]
    assert "Typing :: Typed" in said.get_all("Classifier", [])
    with wheel(built) as archive:
        [text] = [
            archive.read(name)
            for name in archive.namelist()
            if name.endswith(".dist-info/licenses/LICENSE")
        ]
    assert text == (ROOT / "LICENSE").read_bytes()
    assert b"Apache License" in text
    assert b"END OF TERMS AND CONDITIONS" in text


def test_the_sdist_has_what_the_wheel_is_built_from(built: Path, tmp_path: Path) -> None:
    """It has no tests, and the wheel that is built from it has the same files."""
    [file] = built.glob("*.tar.gz")
    # Python's own way to unpack safely is missing before 3.11.4.
    subprocess.run(["tar", "-xf", file], cwd=tmp_path, check=True)  # noqa: S607 - wherever it is
    [source] = [path for path in tmp_path.iterdir() if path.is_dir()]
    names = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    # Hatchling adds the last two.
    assert names == PACKAGE | ALONE | {"PKG-INFO", ".gitignore"}
    build(source, tmp_path, "wheel")
    with wheel(built) as first, wheel(tmp_path) as second:
        assert {entry.filename: entry.CRC for entry in first.infolist()} == {
            entry.filename: entry.CRC for entry in second.infolist()
        }


def test_each_extra_is_documented() -> None:
    """The page on deploying says what each extra is for."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    for extra in PROJECT["optional-dependencies"]:
        assert f"| `{extra}` |" in text, extra
