import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings.settings import FIELDS
from service.wire.listening import listen

ROOT = Path(__file__).parents[2]


def hotswap(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder of its own until it ends."""
    names = {field.name.upper() for field in FIELDS}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_wrong_setting_is_one_line_and_status_2(tmp_path: Path, command: str) -> None:
    """Also where it stands in `.env`."""
    (tmp_path / ".env").write_text("POLL_INTERVAL_S=never\n")
    ended = hotswap(tmp_path, command)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "POLL_INTERVAL_S=never is wrong: allowed is a number from 0.01 to 86400\n"
    )


def test_a_port_in_use_is_one_line_and_status_1(tmp_path: Path) -> None:
    """Nothing is loaded for a port that can't be had."""
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        ended = hotswap(tmp_path, "serve", PORT=port)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert f"port {port} on 127.0.0.1 is in use" in line
    assert "PORT" in line


def test_a_port_of_grpc_in_use_is_one_line_and_names_its_setting(tmp_path: Path) -> None:
    """Before anything is started."""
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        ended = hotswap(tmp_path, "serve", PORT="0", GRPC_PORT=port)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert f"port {port} on 127.0.0.1 is in use" in line
    assert "set GRPC_PORT to another" in line


@pytest.mark.parametrize("option", ["--port", "--mlflow-port"])
def test_the_demo_names_the_option_of_a_port_in_use(tmp_path: Path, option: str) -> None:
    """It checks both before it starts anything."""
    with listen("127.0.0.1", 0) as taken, listen("127.0.0.1", 0) as soon_free:
        ports = {"--port": soon_free.getsockname()[1], "--mlflow-port": soon_free.getsockname()[1]}
        ports[option] = taken.getsockname()[1]
        soon_free.close()
        ended = hotswap(tmp_path, "demo", *(f"{name}={port}" for name, port in ports.items()))
    assert ended.returncode == 1
    [line] = ended.stdout.splitlines()
    assert f"port {ports[option]} on 127.0.0.1 is in use" in line
    assert f"set {option} to another" in line
    assert not (tmp_path / ".hotswap-demo").exists()


def test_help_imports_none_of_the_heavy_libraries() -> None:
    """Asking what there is answers immediately."""
    code = (
        "import sys, service.cli\n"
        "heavy = {'litestar', 'mlflow', 'numpy', 'pandas', 'sklearn', 'uvicorn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert ended.stdout.strip() == "[]"
