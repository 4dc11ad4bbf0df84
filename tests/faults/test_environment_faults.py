"""Environments of versions that can't be built, break or misbehave, while something else serves."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import told_versions
from tests.support.followed import ALIAS, pointer, serving
from tests.support.footprint import Footprint
from tests.support.traffic import steady_traffic
from tools import running_service
from tools.load import Hammer
from tools.made_packages import make_wheel
from tools.mlflow_server import MlflowServer
from tools.package_index import Fault, PackageIndex
from tools.running_service import RunningService

LONG = bool(os.environ.get("HOTSWAP_LONG_FAULTS"))
long_form = pytest.mark.skipif(not LONG, reason="takes long: HOTSWAP_LONG_FAULTS=1")
CLIENTS = 2
HANGS = "import time\ntime.sleep(3_600)\n"
PRINTS = "import sys\nwhile True:\n    sys.stdout.write('x' * 65_536)\n"
LARGE_BYTES = 8_000_000
HOSTILE = (
    "--index-url http://127.0.0.1:1/simple",
    "--extra-index-url=http://127.0.0.1:1/simple",
    "-r /etc/passwd",
    "red @ file:///etc/passwd",
    "red @ git+https://127.0.0.1:1/red.git",
    "https://127.0.0.1:1/red-1.0-py3-none-any.whl",
    "../../red-1.0-py3-none-any.whl",
    "red==${{MLFLOW_TRACKING_URI}}",
    "red; touch {touched}",
    "$(touch {touched})",
    "`touch {touched}`",
    "red | touch {touched}",
    "red\\\n--global-option=x",
)
"""Lines of a requirements.txt that want more than packages."""


@dataclass
class Rig:
    """A service whose versions have environments of their own, and its index."""

    server: MlflowServer
    index: PackageIndex
    service: RunningService
    name: str
    usual: Footprint
    factors: dict[str, float] = field(default_factory=dict)
    """The factor that each version answers with."""

    @property
    def environments(self) -> Path:
        """The folder of environments."""
        return self.service.cache_dir / "environments"

    def register(self, library: str, *more: str) -> str:
        """Register a version that wants this version of the library, and more."""
        wanted = [f"{told_versions.LIBRARY}=={library}", *more]
        version = told_versions.register_one(self.server, self.name, wanted)
        self.factors[version] = float(library)
        return version

    def promote(self, version: str) -> None:
        """Point the alias at a version."""
        self.server.set_alias(self.name, ALIAS, version)

    def promote_and_back(self) -> None:
        """Have another version served, and then the one that serves now again."""
        serves = str(self.service.info()["serving"]["version"])
        for version in ("1" if serves == "2" else "2", serves):
            self.promote(version)
            self.service.wait_serving(version)

    def wait_refused(self, version: str) -> str:
        """Wait until a version is refused; return the reason."""

        def reasons() -> list[str]:
            refused = self.service.info()["refused"]
            return [one["reason"] for one in refused if one["version"] == version]

        self.service.wait_until(lambda: bool(reasons()), f"version {version} is refused")
        return reasons()[-1]

    def wait_building(self, version: str, step: str) -> None:
        """Wait until a version's environment is at a step of its build."""

        def is_there() -> bool:
            waiting = self.service.info()["waiting"] or {}
            build = waiting.get("build") or {}
            return waiting.get("version") == version and build.get("step") == step

        self.service.wait_until(is_there, f"version {version} is at the step {step}")

    def wait_failed(self, version: str, said: str) -> None:
        """Wait until a build of a version has failed in words that are asked for."""

        def has_failed() -> bool:
            waiting = self.service.info()["waiting"] or {}
            return waiting.get("version") == version and said in (waiting["reason"] or "")

        self.service.wait_until(has_failed, f"version {version} fails with {said!r}")

    def builders(self) -> list[psutil.Process]:
        """Return the processes of uv that the service has started."""
        found = []
        # It has a session of its own.
        for child in psutil.Process(self.service.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.name() == "uv":
                    found.append(child)
        return found

    @contextlib.contextmanager
    def traffic(self) -> Iterator[Hammer]:
        """Send requests meanwhile: all are answered by the version that they name.

        Nothing is left afterwards of builds: no process, no descriptor, no file.
        """
        with steady_traffic(self.service, CLIENTS, self.usual) as hammer:
            yield hammer
        assert hammer.mixed(self.factors) == []
        assert self.builders() == []
        assert list((self.environments / ".tmp").iterdir()) == []


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackageIndex]:
    """Offer the library, and packages that misbehave."""
    folder = tmp_path_factory.mktemp("packages") / "offered"
    with told_versions.offered(folder, "2.0", "3.0", "4.0", "5.0", "6.0") as index:
        make_wheel(folder, "hangs", "1.0", files={"hangs.py": HANGS})
        make_wheel(folder, "prints", "1.0", files={"prints.py": PRINTS})
        make_wheel(folder, "large", "1.0", files={"large.bin": os.urandom(LARGE_BYTES)})
        yield index


@pytest.fixture(scope="module")
def rig(
    mlflow_server: MlflowServer, index: PackageIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Serve a first version in an environment of its own."""
    name = told_versions.register(mlflow_server, "2.0", "3.0", stem="own-faults")
    mlflow_server.set_alias(name, ALIAS, 1)
    folder = tmp_path_factory.mktemp("environment-faults")
    settings = {
        "environment": "auto",
        "probation_s": 0,
        "keep_warm": False,
        **told_versions.variables_for(index),
    }
    with serving(folder, mlflow_server.uri, name, **settings) as service:
        service.wait_serving(1)
        usual = Footprint.of(service)
        rig = Rig(mlflow_server, index, service, name, usual, {"1": 2.0, "2": 3.0})
        # What a first swap opens for good is no leak.
        rig.promote("2")
        service.wait_serving(2)
        with Hammer(service.url, CLIENTS) as hammer:
            service.wait_until(lambda: all(hammer.seen), "answers")
        service.wait_until(lambda: len(service.children()) + 1 <= usual.processes, "one version")
        rig.usual = Footprint.of(service)
        yield rig


def test_an_index_and_a_builder_that_fail_in_mid_build(rig: Rig) -> None:
    """Silent while it downloads, uv killed, half a file, then nobody there: built in the end."""
    version = rig.register("4.0")
    rig.index.on_files = Fault.SILENT
    try:
        with rig.traffic():
            rig.promote(version)
            rig.wait_building(version, "download")
            rig.service.wait_until(lambda: bool(rig.builders()), "uv runs")
            rig.index.on_files = Fault.HALF
            for builder in rig.builders():
                with contextlib.suppress(psutil.NoSuchProcess):
                    builder.kill()
            rig.wait_failed(version, "its packages can't be installed")
            rig.index.down()
            rig.wait_failed(version, "Connection refused")
            rig.index.on_files = None
            rig.index.up()
            rig.service.wait_serving(version)
    finally:
        rig.index.on_files = None
        rig.index.up()


def test_hostile_requirements_are_refused_and_nothing_is_asked(rig: Rig, tmp_path: Path) -> None:
    """Options, URLs, paths, variables and shell characters: each is named, none is obeyed."""
    version = rig.register("5.0")
    before = str(rig.service.get("/health").json()["model_version"])
    touched = tmp_path / "touched"
    lines = "\n".join(HOSTILE).format(touched=touched)
    (tmp_path / "requirements.txt").write_text(f"{lines}\n")
    source = rig.server.client.get_model_version(rig.name, version).source
    with rig.server.active():
        rig.server.client.log_model_artifact(
            source.removeprefix("models:/"), str(tmp_path / "requirements.txt")
        )
    asked = len(rig.index.asked)
    with rig.traffic():
        rig.promote(version)
        reason = rig.wait_refused(version)
        rig.promote(before)
        rig.service.wait_serving(before)
    assert "--index-url" in reason
    assert "ENV_ALLOW_URLS" in reason
    assert not touched.exists()
    assert len(rig.index.asked) == asked


@long_form
def test_an_import_that_hangs_gives_way_to_the_next_promotion(rig: Rig) -> None:
    """Its build ends with all that it has started, and the version before never noticed."""
    version = rig.register("4.0", "hangs==1.0")
    with rig.traffic():
        rig.promote(version)
        rig.wait_building(version, "import")
        rig.promote("1")
        rig.service.wait_serving(1)


def test_an_environment_that_is_removed_while_its_version_serves(rig: Rig) -> None:
    """What serves goes on; at the next promotion it is built again."""
    folder = _folder_of_what_serves(rig)
    with rig.traffic():
        shutil.rmtree(folder)
        rig.promote_and_back()
    assert folder.is_dir()


@long_form
def test_an_environment_that_is_damaged_while_its_version_serves(rig: Rig) -> None:
    """The same of one whose files were changed: no worker starts from it any more."""
    folder = _folder_of_what_serves(rig)
    [module] = folder.glob("venv/lib/python*/site-packages/lib_that_tells.py")
    with rig.traffic():
        module.write_text("__version__ = '666.0'\n")
        rig.promote_and_back()
    assert "666" not in module.read_text()
    assert [e for e in rig.service.events() if "is damaged" in str(e.get("event"))]


@long_form
def test_a_package_that_prints_for_ever_is_refused(rig: Rig) -> None:
    """It is ended after some megabytes, and named."""
    version = rig.register("4.0", "prints==1.0")
    with rig.traffic():
        rig.promote(version)
        assert "prints" in rig.wait_refused(version)
        rig.promote("2")
        rig.service.wait_serving(2)


@long_form
def test_a_full_disk_is_tried_again(rig: Rig) -> None:
    """As a limit on the size of files, which uv has of the server process that starts it."""
    version = rig.register("5.0", "large==1.0")
    front = psutil.Process(rig.service.process.pid)
    soft, hard = front.rlimit(psutil.RLIMIT_FSIZE)
    with rig.traffic():
        front.rlimit(psutil.RLIMIT_FSIZE, (LARGE_BYTES // 2, hard))
        try:
            rig.promote(version)
            rig.wait_failed(version, "its packages can't be installed")
        finally:
            front.rlimit(psutil.RLIMIT_FSIZE, (soft, hard))
        rig.service.wait_serving(version)


@long_form
def test_two_services_that_build_the_same_environment_build_it_once(
    rig: Rig, tmp_path: Path
) -> None:
    """They share a CACHE_DIR: one builds, the other waits for it."""
    rig.promote("2")
    rig.service.wait_serving(2)
    settings: dict[str, Any] = {
        "environment": "auto",
        "probation_s": 0,
        "keep_warm": False,
        **told_versions.variables_for(rig.index),
        "cache_dir": rig.service.cache_dir,
        "model_uri": pointer(rig.name),
    }
    # What the other one has in its CACHE_DIR for a while stays there.
    with running_service.start(tmp_path, rig.server.uri, **settings) as other:
        other.wait_serving(2)
        version = rig.register("6.0")
        asked = len(rig.index.files_asked())
        rig.promote(version)
        for service in (rig.service, other):
            service.wait_serving(version)
        new = [name for name in rig.index.files_asked()[asked:] if "tells" in name]
        assert len(new) == 1
        reports = [one.info()["promotions"][0]["environment"] for one in (rig.service, other)]
        assert sorted(report["was_there"] for report in reports) == [False, True]
        assert reports[0]["lock_digest"] == reports[1]["lock_digest"]
    rig.promote("2")
    rig.service.wait_serving(2)


def _folder_of_what_serves(rig: Rig) -> Path:
    key: str = rig.service.info()["serving"]["environment"]["key"]
    return rig.environments / key
