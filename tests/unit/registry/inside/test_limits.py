"""What a process that asks a registry may read and hold; tried in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.registry.inside.limits import ENTRY_BYTES
from tests.support.stub_http import Answer, serving

ROOT = Path(__file__).parents[4]
HELD = """
from service.registry.inside.limits import end_for_memory, limit_memory
limit_memory(100 * 2**20)
kept = bytearray(50 * 2**20)
try:
    bytearray(200 * 2**20)
except MemoryError:
    end_for_memory("a look")
"""
READ = """
import sys, requests
from service.registry.inside.limits import MAX_ANSWER_BYTES, AnswerTooLargeError, limit_answers
limit_answers()
url = sys.argv[1]
def read(path, **arguments):
    try:
        return len(requests.get(url + path, **arguments).content)
    except AnswerTooLargeError as error:
        return str(error)
print(read("/small"), read("/small", stream=True), requests.get(url + "/small").json())
print(read("/large"))
print(read("/large", stream=True) == 17_000_000)
print(read("/large", headers={"Range": "bytes=0-16999999"}) == 17_000_000)
print(read("/error", stream=True))
"""
WRITTEN = """
import sys
from service.registry.inside.limits import file_size_limited
with file_size_limited(1000):
    try:
        with open(sys.argv[1], "wb") as file:
            file.write(bytes(2000))
    except OSError as error:
        print(error.strerror)
with open(sys.argv[1], "wb") as file:
    print(file.write(bytes(2000)))
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
with file_size_limited(1000):
    print(resource.getrlimit(resource.RLIMIT_FSIZE)[0])
"""
FILLED = """
import sys, time
from pathlib import Path
from service.registry.inside.limits import folder_size_limited
folder, files, size, then_s = Path(sys.argv[1]), *map(int, sys.argv[2:])
with folder_size_limited(folder, 40_000):
    for number in range(files):
        (folder / str(number)).write_bytes(bytes(size))
    time.sleep(then_s)
print("whole")
"""


def run(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_process_that_holds_too_much_ends_and_says_so() -> None:
    """What it may hold is counted from where it began."""
    ended = run(HELD)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "it ends, since a look took more memory than it may have\n"


def test_no_more_of_an_answer_is_read_than_is_allowed() -> None:
    """A file is streamed, and a part of one may be as long as what was asked for."""
    answer = Answer(body=b'{"a": 1}')
    large = b"0" * 17_000_000
    paths = {"/large": (200, large), "/error": (500, large)}
    answer.choose = paths.get
    with serving(answer) as url:
        told = run(READ, url)
    too_large = "the answer has more than 16000000 bytes"
    assert told.stderr == ""
    assert told.stdout.splitlines() == ["8 8 {'a': 1}", too_large, "True", "True", too_large]


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is POSIX'")
def test_no_file_grows_beyond_what_was_listed(tmp_path: Path) -> None:
    """While it is written; afterwards any may."""
    told = run(WRITTEN, str(tmp_path / "file"))
    assert told.stdout.splitlines() == ["File too large", "2000", "500"]


@pytest.mark.parametrize(
    ("files", "size", "then_s"), [(3, 15_000, 60), (10, 0, 60), (3, 15_000, 0)]
)
def test_a_folder_that_becomes_too_large_is_told(
    tmp_path: Path, files: int, size: int, then_s: int
) -> None:
    """By long files or by many; by the end of the process where it still waits for more."""
    told = run(FILLED, str(tmp_path), str(files), str(size), str(then_s))
    assert told.returncode == 1
    assert "what comes takes more than 40000 bytes of the disk" in told.stderr
    assert told.stdout == ""


def test_a_folder_that_stays_small_enough_is_left_alone(tmp_path: Path) -> None:
    """Up to the last byte."""
    told = run(FILLED, str(tmp_path), "8", str(40_000 // 8 - ENTRY_BYTES), "0")
    assert (told.stdout, told.stderr) == ("whole\n", "")
