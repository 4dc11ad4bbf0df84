"""Which Python a version's environment is made of."""

import pytest

from service.core.errors import EnvironmentRefusedError
from service.environments.pythons import minor_of


@pytest.mark.parametrize(
    ("version", "minor"), [("3.11.7", "3.11"), ("3.12", "3.12"), ("3.14.0rc1", "3.14")]
)
def test_the_minor_version_counts(version: str, minor: str) -> None:
    """As for MLflow, which warns of no other difference."""
    assert minor_of(version) == minor


@pytest.mark.parametrize("version", ["3.9.18", "2.7.18"])
def test_one_that_no_worker_runs_on_is_refused(version: str) -> None:
    """The sentence says which ones do."""
    with pytest.raises(EnvironmentRefusedError, match=r"workers run on 3\.10 and later"):
        minor_of(version)


@pytest.mark.parametrize("version", ["3", "latest", "3.11; rm -rf /", "--version", "../python3.11"])
def test_what_is_no_version_is_refused(version: str) -> None:
    """It never gets as far as uv."""
    with pytest.raises(EnvironmentRefusedError, match="which is no version"):
        minor_of(version)
