"""WORKER_LIMITS is read whole, or the start says what is wrong with it."""

import sys
from pathlib import Path

import pytest

from service import confinement
from service.core.worker_limits import NO_LIMITS, WorkerLimits
from service.settings.deployment import DeploymentSettings
from service.settings.environment import load_settings
from service.settings.errors import SettingsError
from service.settings.models import read_models_file
from service.settings.worker_limits import read_worker_limits

GIB = 2**30
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems have fewer limits")


@only_linux
@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", NO_LIMITS),
        ("  ", NO_LIMITS),
        ("memory=2GiB", WorkerLimits(memory_bytes=2 * GIB)),
        ("memory = 1.5 GiB , files = 256", WorkerLimits(memory_bytes=3 * GIB // 2, files=256)),
        ("memory=300000000", WorkerLimits(memory_bytes=300_000_000)),
        ("no_network", WorkerLimits(no_network=True)),
        (
            "memory=2GiB,files=64,no_new_privileges,no_network",
            WorkerLimits(2 * GIB, 64, no_new_privileges=True, no_network=True),
        ),
    ],
)
def test_limits_are_read(text: str, limits: WorkerLimits) -> None:
    """In any order, with units of sizes."""
    assert read_worker_limits(text) == limits


@pytest.mark.parametrize(
    "text",
    [
        *("memory", "memory=", "memory=much", "memory=255MiB", "memory=-1GiB", "memory=2PiB"),
        *("files=63", "files=1e9", "files=many", "no_network=false", "no_network=1"),
        *("nonetwork", "no_network,", ",", "files=70,files=80", "memory=1GiB;files=70", "="),
    ],
)
def test_what_is_no_limit_is_a_wrong_setting(text: str) -> None:
    """A typo limits nothing, and must not look as if it did."""
    with pytest.raises(SettingsError, match=r"is wrong: allowed is a list of memory=SIZE"):
        load_settings({"WORKER_LIMITS": text})


@pytest.mark.parametrize("limit", ["memory=2GiB", "no_new_privileges", "no_network"])
def test_a_limit_that_this_system_has_not_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """The start ends with a sentence: a limit that does nothing would be worse than none."""
    monkeypatch.setattr("service.confinement.sys.platform", "darwin")
    with pytest.raises(SettingsError, match=rf"can't be kept here: {limit.partition('=')[0]}: "):
        load_settings({"WORKER_LIMITS": limit})


@pytest.mark.parametrize("refusing", ["riscv64", ""])
def test_a_kernel_that_filters_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, refusing: str
) -> None:
    """As on an architecture whose calls are not known, or without seccomp."""
    if refusing:
        monkeypatch.setattr("service.confinement.platform.machine", lambda: refusing)
    else:
        unknown = {machine: calls._replace(seccomp=9999) for machine, calls in CALLS.items()}
        monkeypatch.setattr(confinement, "_CALLS", unknown)
    with pytest.raises(SettingsError, match="can't be kept here: no_network: it takes Linux"):
        load_settings({"WORKER_LIMITS": "no_network"})


CALLS = confinement._CALLS


@only_linux
def test_a_model_has_limits_of_its_own(tmp_path: Path) -> None:
    """MODELS_FILE says them, and the environment where it does not; a wrong one is told there."""
    defaults = DeploymentSettings(worker_limits="files=100")
    file = tmp_path / "models.toml"
    file.write_text(
        '[models.a]\nuri = "models:/a@b"\nworker_limits = "no_network"\n'
        '[models.c]\nuri = "models:/c@b"\n'
        '[models.d]\nuri = "models:/d@b"\nworker_limits = ""\n'
    )
    limits = {name: one.limits for name, one in read_models_file(file, defaults).items()}
    assert limits == {
        "a": WorkerLimits(no_network=True),
        "c": WorkerLimits(files=100),
        "d": NO_LIMITS,
    }
    file.write_text('[models.a]\nuri = "models:/a@b"\nworker_limits = "no_net"\n')
    with pytest.raises(SettingsError, match=r"\[models\.a\]: WORKER_LIMITS=no_net is wrong"):
        read_models_file(file, defaults)
