"""Environments that uv really builds, of a test's own wheels."""

from pathlib import Path

import pytest

from tests.support.made_wheels import make_wheel
from tests.support.own_environments import Offered, says


@pytest.fixture
def offered(tmp_path: Path) -> Offered:
    """Offer two versions of a package that needs another one."""
    offered = Offered(tmp_path)
    for version in ("1.0", "2.0"):
        make_wheel(offered.wheels, "alpha", version, requires=["beta"])
    make_wheel(offered.wheels, "beta", "1.0")
    return offered


async def test_a_version_gets_what_its_requirements_name(offered: Offered) -> None:
    """The environment has that version, what it needs, and msgspec; the report says so."""
    held = await offered.built(offered.stored("alpha==1.0\n"))
    assert says(held.environment, "alpha.VERSION, beta.VERSION", "alpha, beta") == "1.0 1.0"
    assert says(held.environment, "msgspec.VERSION", "msgspec") == "0.19.0"
    assert held.report.found_by == "requirements.txt"
    assert held.report.packages == 3
    assert not held.report.was_there
    assert held.report.bytes > 0
    await held.release()
