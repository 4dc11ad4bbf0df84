"""The Dockerfile's steps, run as they stand, and what they made, run as an engine would.

There is no engine: each stage has an empty folder laid over this machine's root, with this Python
at /usr/local in place of the base image's. A long form (HOTSWAP_LONG_FAULTS=1): it installs
everything, from the network.
"""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.container import Place, contained, why_not
from tests.support.dockerfile import Instruction, instructions, stages, variables
from tests.support.footprint import nothing_stays
from tests.support.manifests import ROOT
from tools.mlflow_server import MlflowServer, free_port, unique_name

LONG = os.environ.get("HOTSWAP_LONG_FAULTS") == "1"
REASON = "a long form" if not LONG else why_not()
FOUND = instructions((ROOT / "Dockerfile").read_text("utf-8"))
BUILD, IMAGE = stages(FOUND)
PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
STEP_LIMIT_S = 1500
MOUNTS = """
mount -t overlay overlay -o "lowerdir=/,upperdir={folder}/upper,workdir={folder}/work" {folder}/root
mount -t overlay overlay -o "lowerdir={python}:/usr/local" {folder}/root/usr/local
mount --bind /dev {folder}/root/dev
mount -t proc proc {folder}/root/proc
"""


@dataclass(frozen=True)
class Stage:
    """A stage's folder: what its steps have written is in `upper`."""

    folder: Path

    @classmethod
    def begun(cls, folder: Path) -> "Stage":
        """Begin with nothing."""
        for name in ("upper", "work", "root"):
            (folder / name).mkdir(parents=True)
        return cls(folder)

    @property
    def mounts(self) -> str:
        """What makes its root."""
        return MOUNTS.format(folder=self.folder, python=sys.base_prefix)

    def path(self, inside: str) -> Path:
        """Return where one of its paths lies on this machine."""
        return self.folder / "upper" / inside.lstrip("/")

    def run(self, text: str, workdir: str, environment: dict[str, str]) -> None:
        """Run a RUN as a builder does."""
        script = f'set -eu\n{self.mounts}\nexec unshare --root="$1" --wd="$2" sh -c "$3"'
        where = (str(self.folder / "root"), workdir)
        ended = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "run", *where, text],  # noqa: S607 - as found
            env={**pip_settings(), "PATH": PATH, **environment},
            capture_output=True,
            text=True,
            timeout=STEP_LIMIT_S,
            check=False,
        )
        assert ended.returncode == 0, f"{text}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"


def pip_settings() -> dict[str, str]:
    """Return by what this machine's pip finds packages: a builder's network is another one."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


def copied(stage: Stage, step: Instruction, workdir: str, others: dict[str, Stage]) -> None:
    """Do a COPY: from what a build may see, or from another stage."""
    words = step.words
    other = others[words.pop(0).partition("=")[2]] if words[0].startswith("--from=") else None
    # What .dockerignore keeps out of a build; another stage's files come as they are.
    ignored = None if other else shutil.ignore_patterns("__pycache__", "*.pyc")
    *sources, target = words
    place = stage.path(target if target.startswith("/") else f"{workdir}/{target}")
    for source in sources:
        found = other.path(source) if other else ROOT / source
        if found.is_dir():
            shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True, ignore=ignored)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, place)


def made(steps: list[Instruction], folder: Path, others: dict[str, Stage]) -> Stage:
    """Run the steps of a stage, one by one."""
    stage, workdir = Stage.begun(folder), "/"
    environment: dict[str, str] = {}
    # As the base image has done for its own Python.
    stage.run("ldconfig", workdir, environment)
    for step in steps:
        if step.name == "RUN":
            stage.run(step.text, workdir, environment)
        elif step.name == "COPY":
            copied(stage, step, workdir, others)
        elif step.name == "WORKDIR":
            workdir = step.text
            stage.path(workdir).mkdir(parents=True, exist_ok=True)
        elif step.name == "ENV":
            environment |= variables([step])
    return stage


@pytest.fixture(scope="module")
def image() -> Iterator[Stage]:
    """Make the image in a folder on a disk: an overlay can't lie on some file systems."""
    folder = Path(os.environ.get("HOTSWAP_IMAGE_DIR", "/var/tmp")) / unique_name("hotswap-image")  # noqa: S108 - a name of its own
    # A builder's own: what ran in this process before may have set another.
    before = os.umask(0o022)
    try:
        built = made(BUILD, folder / "build", {})
        yield made(IMAGE, folder / "image", {"build": built})
    finally:
        os.umask(before)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(bool(REASON), reason=REASON)
@pytest.mark.timeout(3600)
def test_every_step_runs_and_the_service_does_as_its_user(
    image: Stage, mlflow_server: MlflowServer
) -> None:
    """As PID 1, user 10001, without capabilities, on a read-only root but for its volume."""
    home = image.path("/var/lib/hotswap")
    assert (home.stat().st_uid, stat.S_IMODE(home.stat().st_mode)) == (10001, 0o700)
    name, port = unique_name("image"), free_port()
    mlflow_server.register_tiny(name, 3.0)
    mlflow_server.set_alias(name, "champion", 1)
    volume = image.folder / "volume"
    volume.mkdir()
    os.chown(volume, 10001, 10001)
    set_to = variables(IMAGE)
    environment = {
        **set_to,
        "PATH": set_to["PATH"].replace("$PATH", PATH),
        "PORT": str(port),
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "MODEL_URI": f"models:/{name}@champion",
        "POLL_INTERVAL_S": "0.2",
    }
    [program] = [step.words for step in IMAGE if step.name == "ENTRYPOINT"]
    [words] = [step.words for step in IMAGE if step.name == "CMD"]
    place = Place(volume, "/var/lib/hotswap", str(image.folder / "root"), image.mounts, 10001)
    with contained(place, [*program, *words], environment, port) as running:
        service = running.service
        service.wait_healthy()
        assert service.predict({"a": 2.0}).json()["predictions"] == [{"y": 6.0}]
        assert running.first.uids().real == 10001
        children = service.children()
        assert running.terminate(60) == 143
        nothing_stays(service, children)
