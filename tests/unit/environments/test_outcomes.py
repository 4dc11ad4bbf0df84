"""What it means that uv has failed, by what uv 0.13 prints."""

import pytest

from service.core.errors import EnvironmentNotBuiltError, EnvironmentRefusedError
from service.environments.outcomes import error_of, lines_that_matter
from service.environments.program import Ended

NO_SOLUTION = """Resolved 3 packages in 1ms
error: No solution found when resolving dependencies
  cause: Because there is no version of a==9 and you require a==9, we can conclude that your
requirements are unsatisfiable."""


@pytest.mark.parametrize(
    "printed",
    [
        NO_SOLUTION,
        "error: Failed to download `a==2.0`\n  cause: Hash mismatch for `a==2.0`",
        "error: No solution found\n  cause: Because a==1.0 was yanked (reason: bad)",
    ],
)
def test_what_can_never_be_had_is_final(printed: str) -> None:
    """Uv ends with 1 then."""
    error = error_of("it failed", Ended(1, tuple(printed.splitlines())))
    assert isinstance(error, EnvironmentRefusedError)
    assert str(error).startswith("it failed: error: ")


@pytest.mark.parametrize(
    ("status", "printed"),
    [
        (2, "error: Request failed after 3 retries in 7.1s\n  cause: tcp connect error"),
        (2, "error: Failed to fetch: http://i.test/simple/a/\n  cause: dns error"),
        (1, f"{NO_SOLUTION}\n\nhint: An index URL could not be queried (401 Unauthorized)."),
        (2, "error: Failed to fetch\n  cause: HTTP status server error (503)"),
        (2, "error: failed to copy file\n  cause: No space left on device (os error 28)"),
        (2, "error: something that nobody has seen before"),
        (-9, ""),
        (
            2,
            "warning: `a==1.0` is yanked (reason: bad)\nerror: Timeout (300s) for the cache's lock",
        ),
        (1, "error: Failed to build `a`\n  cause: c++: fatal error: Killed signal terminated"),
    ],
)
def test_what_may_pass_is_tried_again(status: int, printed: str) -> None:
    """The network, the disk, and whatever uv ends with 2 for that is not known."""
    error = error_of("it failed", Ended(status, tuple(printed.splitlines())))
    assert isinstance(error, EnvironmentNotBuiltError)


def test_ten_lines_at_most_are_quoted_without_credentials() -> None:
    """From uv's error on, and without what it says of its progress."""
    printed = (
        "Resolved 3 packages in 1ms",
        "error: Failed to fetch: https://user:hunter2@i.test/simple/a/",
        *(f"  cause: number {number}" for number in range(20)),
    )
    assert len(lines_that_matter(printed)) == 10
    told = str(error_of("it failed", Ended(2, printed)))
    assert "hunter2" not in told
    assert "number 8" in told
    assert "number 9" not in told
    assert "Resolved" not in told
