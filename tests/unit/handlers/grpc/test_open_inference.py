"""The generated module of the protocol's messages."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.handlers.grpc import open_inference_pb2

FOLDER = Path(open_inference_pb2.__file__).parent


@pytest.mark.parametrize("name", ["open_inference_pb2.py", "open_inference_pb2.pyi"])
def test_it_is_what_the_proto_file_makes(tmp_path: Path, name: str) -> None:
    """`python -m grpc_tools.protoc` with these arguments, in its folder, makes it anew."""
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I."]
    command += [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", "open_inference.proto"]
    subprocess.run(command, cwd=FOLDER, check=True, timeout=60)
    made = (tmp_path / name).read_text("utf-8")
    assert made == (FOLDER / name).read_text("utf-8"), " ".join(command)
