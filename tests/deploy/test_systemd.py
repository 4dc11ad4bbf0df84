"""The unit: as systemd takes it, and as the service needs it."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.commands.demo.processes import Stopped
from service.processes.exit_limit import limit_of_end
from service.settings.environment import load_settings
from tests.support.manifests import DEPLOY
from tests.support.own_names import commands, unknown

UNIT = DEPLOY / "systemd" / "hotswap.service"
TEXT = UNIT.read_text("utf-8")
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is in Debian's `systemd`"
)
MOST_EXPOSED = 20
"""In tenths, of ten; `systemd-analyze security` calls up to four OK."""


def service() -> configparser.SectionProxy:
    """Return what the unit says of the service."""
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.read_string(TEXT)
    return unit["Service"]


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd's tool."""
    return subprocess.run(
        ["systemd-analyze", *arguments],  # noqa: S607 - wherever it is installed
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@needs_systemd
def test_systemd_takes_it(tmp_path: Path) -> None:
    """Nothing in it is unknown or of the wrong form."""
    program = service()["ExecStart"].split()[0]
    unit = tmp_path / UNIT.name
    unit.write_text(TEXT.replace(program, sys.executable), "utf-8")
    ended = analyze("verify", str(unit))
    said = [line for line in ended.stderr.splitlines() if UNIT.name in line]
    assert (ended.returncode, said) == (0, []), ended.stderr


@needs_systemd
def test_a_mistake_is_found(tmp_path: Path) -> None:
    """The check above can fail."""
    unit = tmp_path / UNIT.name
    unit.write_text(TEXT.replace("KillMode=mixed", "KillMode=gently"), "utf-8")
    assert UNIT.name in analyze("verify", str(unit)).stderr


@needs_systemd
def test_it_is_closed() -> None:
    """Most of what a service could do elsewhere is taken from it."""
    ended = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(UNIT))
    assert ended.returncode == 0, ended.stdout[-3000:]


def test_no_shell_is_between() -> None:
    """What is started is the service, by one of its commands."""
    program, *words = service()["ExecStart"].split()
    assert Path(program).name == "hotswap"
    assert words == ["serve"]
    assert set(words) <= commands()


def test_it_has_the_time_to_drain_and_its_workers_are_left_to_it() -> None:
    """The server process alone gets SIGTERM, and what follows comes after its own limit."""
    set_to = dict(each.split("=", 1) for each in service()["Environment"].split())
    assert unknown(set(set_to)) == set()
    settings = load_settings(set_to)
    needed_s = limit_of_end(settings.service.drain_lead_s, settings.drain_timeout_s)
    assert float(service()["TimeoutStopSec"]) >= needed_s
    assert service()["KillMode"] == "mixed"
    # As a program that SIGTERM ends has it.
    assert int(service()["SuccessExitStatus"]) == Stopped(15).status
