import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from uv import find_uv_bin

from tools.made_packages import make_lending_wheel, make_sdist, make_wheel, wheel_of_installed
from tools.package_index import Fault, PackageIndex, package_index

_LIMIT_S = 60
_QUICKLY = {"UV_HTTP_TIMEOUT": "1", "UV_HTTP_RETRIES": "0"}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    """Run an index with two versions of a package that needs another one."""
    folder = tmp_path / "packages"
    folder.mkdir()
    make_wheel(
        folder, "red", "1.0", requires=["blue>=1"], uploaded=datetime(2021, 1, 1, tzinfo=UTC)
    )
    make_wheel(
        folder, "red", "2.0", requires=["blue>=1"], uploaded=datetime(2021, 3, 1, tzinfo=UTC)
    )
    make_wheel(folder, "blue", "1.5")
    with package_index(folder) as running:
        yield running


def uv(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run uv with nothing but this index."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))
    }
    return subprocess.run(
        [find_uv_bin(), *arguments],
        env={
            **kept,
            **_QUICKLY,
            "UV_DEFAULT_INDEX": url,
            "UV_CACHE_DIR": str(folder / "cache"),
            "UV_NO_CONFIG": "1",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )


def install(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Install with uv into a folder of the test's own."""
    where = ("--python", sys.executable, "--target", str(folder / "target"))
    return uv(folder, url, "pip", "install", *where, *arguments)


def test_what_is_made_is_installed(index: PackageIndex, tmp_path: Path) -> None:
    """A wheel comes with what it needs, and a source package is built."""
    make_sdist(index.folder, "green", "3.1")
    done = install(tmp_path, index.url, "red==1.0", "green")
    assert done.returncode == 0, done.stderr
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import red, blue, green; print(red.__version__, green.__version__)",
        ],
        env={"PYTHONPATH": str(tmp_path / "target")},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=True,
    )
    assert said.stdout == "1.0 3.1\n"
    assert index.files_asked().count("red-1.0-py3-none-any.whl") == 1


def test_upload_times_choose(index: PackageIndex, tmp_path: Path) -> None:
    """A resolution as of a day has what was uploaded by then, where there are upload times."""
    (tmp_path / "wanted.in").write_text("red\n")
    command = [
        *("pip", "compile", "wanted.in", "--generate-hashes", "--no-header"),
        *("--python", sys.executable, "--exclude-newer", "2021-02-01T00:00:00Z"),
    ]
    assert "red==1.0" in uv(tmp_path, index.url, *command).stdout
    index.has_upload_times = False
    done = uv(tmp_path, index.url, *command, "--refresh")
    assert "red==" not in done.stdout, done.stdout


def test_a_yanked_file_is_known_by_its_reason(index: PackageIndex, tmp_path: Path) -> None:
    """What is yanked is chosen only where it is asked for by its version, with a warning."""
    index.yanked["red-2.0-py3-none-any.whl"] = "it answers wrongly"
    done = install(tmp_path, index.url, "red")
    assert "red==1.0" in done.stderr
    done = install(tmp_path, index.url, "red==2.0", "--refresh")
    assert "it answers wrongly" in done.stderr


def test_credentials_are_wanted(index: PackageIndex, tmp_path: Path) -> None:
    """Without the right name and password nothing is given."""
    index.credentials = ("ci", "s3cret")
    assert install(tmp_path, index.url, "blue").returncode != 0
    assert install(tmp_path, index.url_as("ci", "wrong"), "blue").returncode != 0
    assert not index.files_asked()
    assert install(tmp_path, index.url_as("ci", "s3cret"), "blue").returncode == 0


@pytest.mark.parametrize(
    ("at", "fault"),
    [
        *(("on_files", fault) for fault in Fault),
        ("on_pages", Fault.CLOSED),
        ("on_pages", Fault.HALF),
    ],
)
def test_what_fails_goes_well_again(
    index: PackageIndex, tmp_path: Path, at: str, fault: Fault
) -> None:
    """Each fault fails an installation, and is over as soon as it is switched off."""
    setattr(index, at, fault)
    assert install(tmp_path, index.url, "blue").returncode != 0
    setattr(index, at, None)
    done = install(tmp_path, index.url, "blue", "--refresh")
    assert done.returncode == 0, done.stderr


def test_one_that_is_down_refuses_connections(index: PackageIndex, tmp_path: Path) -> None:
    """It is found at the same address once it is up again."""
    before = index.url
    index.down()
    done = install(tmp_path, before, "blue")
    assert done.returncode != 0
    assert "refused" in done.stderr
    index.up()
    assert index.url == before
    assert install(tmp_path, before, "blue").returncode == 0


def test_no_path_leads_out_of_the_folder(index: PackageIndex, tmp_path: Path) -> None:
    """It gives packages, and no other file."""
    (tmp_path / "secret.whl").write_text("none of it")
    (index.folder / "note.txt").write_text("none of it")
    for path in ("../secret.whl", "..%2fsecret.whl", "note.txt", ""):
        done = subprocess.run(
            [sys.executable, "-c", _ASK, index.url.replace("/simple/", f"/files/{path}")],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=True,
        )
        assert done.stdout == "404\n", path


def test_what_is_installed_here_is_lent_and_packed_again(
    index: PackageIndex, tmp_path: Path
) -> None:
    """An environment sees our packages by one wheel, or has a real one of its own."""
    make_lending_wheel(index.folder, "ours", "1.0")
    wheel_of_installed(index.folder, "msgspec")
    made = uv(tmp_path, index.url, "venv", "--python", sys.executable, "made")
    assert made.returncode == 0, made.stderr
    python = tmp_path / "made" / "bin" / "python"
    done = uv(tmp_path, index.url, "pip", "install", "--python", str(python), "ours", "msgspec")
    assert done.returncode == 0, done.stderr
    said = subprocess.run(
        [python, "-Ic", "import msgspec, structlog; print(msgspec.__file__)"],
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=True,
    )
    assert said.stdout.startswith(str(tmp_path / "made"))


_ASK = """
import http.client, sys, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.netloc, timeout=10)
connection.request("GET", url.path)
print(connection.getresponse().status)
"""
