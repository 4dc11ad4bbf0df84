"""What is read of a lock, and what names an environment."""

import pytest

from service.environments.differences import requirements_of
from service.environments.locking import Lock, key_of, pins
from service.environments.pythons import Python

LOCK = """\
mlflow[extras]==3.17.2 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
Scikit_Learn==1.5.2 ; python_version >= '3.11' \\
    --hash=sha256:cc
# a comment
torch==2.1.0+cpu --hash=sha256:dd
"""
PYTHON = Python("/usr/bin/python3.11", "3.11.7")


def test_a_lock_has_one_version_of_each_package() -> None:
    """By their canonical names, whatever stands behind the version."""
    assert list(pins(LOCK)) == [
        ("mlflow", "3.17.2"),
        ("scikit-learn", "1.5.2"),
        ("torch", "2.1.0+cpu"),
    ]
    assert Lock(LOCK, ours="msgspec==0.19.0\n").packages == 4


def test_its_lines_are_compared_without_hashes() -> None:
    """Markers stay: what is for another system is not wanted here."""
    assert requirements_of(LOCK) == (
        "mlflow[extras]==3.17.2",
        "Scikit_Learn==1.5.2 ; python_version >= '3.11'",
        "torch==2.1.0+cpu",
    )


def test_the_same_lock_and_python_are_one_environment() -> None:
    """Wherever that Python is; another lock, or another patch version, is another environment."""
    key = key_of(Lock(LOCK), "requirements.txt", PYTHON)
    assert key == key_of(Lock(LOCK, notes=("x",)), "its lock", Python("/opt/python", "3.11.7"))
    others = {
        key_of(Lock(LOCK + "a==1\n"), "its lock", PYTHON),
        key_of(Lock(LOCK, ours="msgspec==0.19.0\n"), "its lock", PYTHON),
        key_of(Lock(LOCK), "its lock", Python("/opt/python", "3.11.8")),
    }
    assert len({key, *others}) == 4


@pytest.mark.parametrize("length", [2_000, 20_000])
def test_a_long_line_is_no_package(length: int) -> None:
    """And is read in a time that does not grow with its square."""
    assert list(pins("a" * length)) == []
