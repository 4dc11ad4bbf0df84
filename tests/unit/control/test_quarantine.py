"""How many refused versions are known."""

from service.control.quarantine import MOST_REFUSALS, Quarantine
from service.core.errors import RefusedError
from tests.support.fake_source import a_version


def test_refused_pins_fill_no_memory() -> None:
    """The first one is let out, and written down as such; one that is refused again is the last."""
    quarantine = Quarantine()
    for number in range(1, MOST_REFUSALS + 1):
        quarantine.refuse(a_version(number), RefusedError("wrong"))
    quarantine.refuse(a_version(1), RefusedError("wrong again"))
    assert quarantine.lifted() == frozenset()
    quarantine.refuse(a_version(1000), RefusedError("wrong"))
    assert len(quarantine.versions) == MOST_REFUSALS
    assert quarantine.lifted() == {a_version(2)}
    assert {a_version(1), a_version(1000)} <= quarantine.versions
