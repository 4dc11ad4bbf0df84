"""REQUIRE_SIGNED on a real server and a real service: what is loaded, and what never is."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.counting_proxy import CountingProxy
from tests.support.signed import Signer
from tools import running_service
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

DOCS = Path(__file__).resolve().parents[2] / "docs" / "signing.md"
IN_CI = DOCS.read_text("utf-8").partition("<!-- sign in ci -->\n```bash\n")[2].partition("```")[0]
FIRST = 3.25
"""The factor of version 1."""


class Scene(msgspec.Struct):
    """A registered model, and a service that follows it twice, on one cache.

    `open` serves version 1, whoever signed it; `closed` follows the alias, and wants signatures.
    """

    server: MlflowServer
    proxy: CountingProxy
    folder: Path
    name: str
    signer: Signer
    other: Signer
    keys: Path
    marker: Path
    """Exists once any code of an attacker has run."""
    service: RunningService | None = None

    @property
    def models_file(self) -> Path:
        """Where the service reads what it serves."""
        return self.folder / "models.toml"

    def describe(self, opened: str = "1", **more: str) -> None:
        """Have the service serve a version openly, and the alias only if it is signed."""
        closed = {"require_signed": str(self.keys), **more}
        self.models_file.write_text(
            f'[models.open]\nuri = "models:/{self.name}/{opened}"\n'
            f'[models.closed]\nuri = "models:/{self.name}@champion"\n'
            + "".join(f'{key} = "{value}"\n' for key, value in closed.items())
        )

    def artifacts(self, factor: float) -> Path:
        """Return the server's own folder of a model's artifacts, which is logged for that."""
        model_id = self.server.tiny_source(factor).removeprefix("models:/")
        return next(self.server.folder.glob(f"artifacts/**/{model_id}/artifacts"))

    def promote(self, factor: float) -> str:
        """Register a model, promote it and return its version's number."""
        version = self.server.register_tiny(self.name, factor)
        self.server.set_alias(self.name, "champion", version)
        return version

    @property
    def running(self) -> RunningService:
        """The service."""
        assert self.service is not None
        return self.service

    def info(self) -> dict[str, Any]:
        """Return what is known of the model that has to be signed."""
        told: dict[str, Any] = self.running.get("/models/closed/info").json()
        return told

    def refusal(self, version: str) -> str:
        """Return why a version is refused, '' where it is not."""
        refused = self.info()["refused"]
        return next((one["reason"] for one in refused if one["version"] == version), "")

    def wait_refused(self, version: str) -> str:
        """Wait until a version is refused, and return why."""
        self.running.wait_until(lambda: self.refusal(version), f"version {version} is refused")
        return self.refusal(version)

    def reload(self) -> None:
        """Ask for another try, and see that it serves."""
        answer = self.running.post("/models/closed/reload")
        assert answer.status_code == 200, answer.text

    def serving(self) -> str | None:
        """Return the version that serves signed."""
        serving = self.info()["serving"]
        return serving and str(serving["version"])

    def sign(self, version: str, **settings: object) -> str:
        """Sign a version by the command, and return what that says."""
        key = str(self.signer.private)
        ended = self.running.hotswap(
            "sign",
            f"models:/{self.name}/{version}",
            f"--key={key}",
            mlflow_tracking_uri=self.server.uri,
            cache_dir=self.folder / "signing",
            **settings,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout


@pytest.fixture(scope="module")
def scene(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Serve version 1, which nobody has signed, where that is not asked for."""
    folder = tmp_path_factory.mktemp("signed")
    signer, other = Signer(folder, "ci"), Signer(folder, "mallory")
    keys = shutil.copytree(signer.trusted, folder / "keys")
    with CountingProxy(mlflow_server.uri) as proxy:
        name, marker = unique_name("signed"), folder / "attacked"
        scene = Scene(mlflow_server, proxy, folder, name, signer, other, keys, marker)
        scene.promote(FIRST)
        scene.describe()
        with running_service.start(
            folder,
            proxy.uri,
            models_file=scene.models_file,
            default_model="open",
            compiled="off",
            probation_s=0,
            signatures_uri=folder / "signatures",
        ) as scene.service:
            yield scene


def test_what_was_fetched_unsigned_is_refused_and_served_once_it_is_signed(scene: Scene) -> None:
    """Although it serves under another name; `hotswap sign` and a reload bring it into service."""
    assert "it is not signed: there is no " in scene.wait_refused("1")
    assert scene.running.get("/models/open/health").status_code == 200
    assert scene.running.get("/models/closed/health").status_code == 503
    said = scene.sign("1")
    assert f"model.sig beside models:/{scene.name}/1" in said
    scene.reload()
    info = scene.info()
    key = info["serving"]["signed_by"]
    assert key.startswith("ci.pem (sha256:")
    assert key.removeprefix("ci.pem") in said
    verdicts = {one["gate"]: one for one in info["promotions"][0]["verdicts"]}
    assert verdicts["signature"]["outcome"] == "pass"
    assert key in verdicts["signature"]["reason"]


def _attack(scene: Scene, root: Path) -> None:
    """Have code of an attacker's run when the version is loaded."""
    with (root / "tiny_model.py").open("a") as code:
        code.write(f"\nopen({str(scene.marker)!r}, 'w').close()\n")


def _unsigned(scene: Scene, root: Path) -> None:
    _attack(scene, root)


def _changed(scene: Scene, root: Path) -> None:
    scene.signer.sign(root, root / "model.sig")
    _attack(scene, root)


def _added(scene: Scene, root: Path) -> None:
    scene.signer.sign(root, root / "model.sig")
    (root / "sitecustomize.py").write_text("raise SystemExit\n")


def _another_key(scene: Scene, root: Path) -> None:
    _attack(scene, root)
    scene.other.sign(root, root / "model.sig")


def _of_another_version(scene: Scene, root: Path) -> None:
    _attack(scene, root)
    shutil.copy(scene.artifacts(FIRST) / "model.sig", root)


ATTACKS: list[tuple[Callable[[Scene, Path], None], str]] = [
    (_unsigned, "it is not signed"),
    (_changed, "tiny_model.py is not as it was signed"),
    (_added, "sitecustomize.py is not signed"),
    (_another_key, "its signature is of no key that is trusted here"),
    (_of_another_version, "MLmodel is not as it was signed"),
]


@pytest.mark.parametrize("number", range(len(ATTACKS)), ids=[one.__name__ for one, _ in ATTACKS])
def test_what_is_not_signed_as_it_is_never_runs(scene: Scene, number: int) -> None:
    """It is refused before it is loaded; what serves goes on."""
    attack, reason = ATTACKS[number]
    factor = 5.0 + number / 8
    attack(scene, scene.artifacts(factor))
    version = scene.promote(factor)
    assert scene.wait_refused(version).startswith(f"refused by the signature gate: {reason}")
    promotion = scene.info()["promotions"][0]
    assert [one["gate"] for one in promotion["verdicts"]] == ["artifacts", "signature"]
    assert scene.serving() == "1"
    assert not scene.marker.exists()


def test_the_attack_works_where_no_signature_is_asked_for(scene: Scene) -> None:
    """The signature alone stops it."""
    assert not scene.marker.exists()
    scene.describe(opened="3")
    scene.running.wait_until(scene.marker.exists, "the attacker's code runs")


def test_a_signature_that_cant_be_fetched_is_asked_for_again(scene: Scene) -> None:
    """An artifact store that is down says nothing of a version."""
    version = scene.promote(7.0)
    scene.wait_refused(version)
    with scene.proxy.away():
        scene.running.client.post("/models/closed/pin", json={"version": version})
        scene.running.wait_until(
            lambda: "could not be read" in str(scene.info()["promotions"][0]), "it is tried"
        )
        assert not scene.refusal(version)
        assert scene.serving() == "1"
    assert "it is not signed" in scene.wait_refused(version)
    scene.running.client.delete("/models/closed/pin")


def test_a_restart_without_the_registry_verifies_what_it_starts_with(scene: Scene) -> None:
    """By the signature that was good before."""
    version = scene.serving()
    with scene.proxy.away():
        scene.describe(poll_interval_s="0.3")
        scene.running.wait_until(
            lambda: scene.info()["promotions"][0]["trigger"] == "last known good", "it starts anew"
        )
        scene.running.wait_until(lambda: scene.serving() == version, "it serves")


def test_the_script_for_ci_signs_a_version(scene: Scene) -> None:
    """As the documentation has it, with the key in a variable; no key is left on disk."""
    version = scene.promote(11.0)
    scene.wait_refused(version)
    temp = scene.folder / "ci"
    temp.mkdir()
    ended = subprocess.run(
        ["bash", "-c", IN_CI],  # noqa: S607 - wherever it is
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SIGNING_KEY": scene.signer.private.read_text(),
            "MODEL_NAME": scene.name,
            "MODEL_VERSION": version,
            "MLFLOW_TRACKING_URI": scene.server.uri,
            "CACHE_DIR": str(scene.folder / "signing"),
            "TMPDIR": str(temp),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "PRIVATE KEY" not in ended.stdout + ended.stderr
    left = [file for file in temp.rglob("*") if file.is_file()]
    assert [file for file in left if "PRIVATE KEY" in file.read_text("utf-8", "replace")] == []
    scene.reload()
    assert scene.serving() == version


def test_a_key_that_is_taken_away_counts_no_more(scene: Scene) -> None:
    """A pin to what it signed is refused; what serves goes on."""
    root = scene.artifacts(9.0)
    scene.signer.sign(root, root / "model.sig")
    version = scene.promote(9.0)
    scene.running.wait_until(lambda: scene.serving() == version, "what is signed serves")
    (scene.keys / "ci.pem").unlink()
    shutil.copy(scene.other.public, scene.keys)
    answer = scene.running.post("/models/closed/pin", {"version": "1"})
    assert answer.status_code == 409
    assert "of no key that is trusted here" in scene.refusal("1")
    assert scene.serving() == version
