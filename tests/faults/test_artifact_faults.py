"""The artifact store breaks, or what came from it does: never served, fetched again."""

import itertools

import pytest

from tests.faults.conftest import Rig
from tests.support import waiting
from tests.support.fault_proxy import Fault

SOON_S = 5.0
"""The registry is looked at each 0.2 s; the silent file alone would be waited for much longer."""
_factors = itertools.count(11)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        pytest.param(Fault.FILES_CUT, "", id="cut"),
        pytest.param(Fault.FILES_CUT_WITHOUT_LENGTH, "not complete", id="cut-without-length"),
        pytest.param(Fault.FILES_GARBAGE, "", id="garbage"),
        pytest.param(Fault.FILES_HTML, "not complete", id="html"),
        pytest.param(Fault.FILES_DOWN, "500", id="down"),
        pytest.param(Fault.FILES_ENDLESS, "too large", id="endless"),
    ],
)
def test_download_fault(rig: Rig, fault: Fault, told: str) -> None:
    """It is tried again, later each time, while the incumbent serves; then the promotion lands."""
    with rig.exact_traffic():
        serving, logged = rig.serving(), len(rig.service.events())
        with rig.proxy.failing(fault):
            wanted = rig.promote_new(next(_factors))
            rig.service.wait_until(
                lambda: len(rig.logged_since(logged, "promotion will be tried again")) > 1,
                "tried twice",
            )
            assert rig.serving() == serving
            assert f"version {wanted} is " in rig.health()["degraded"]
        rig.service.wait_serving(wanted)
    first, second, *_ = rig.logged_since(logged, "promotion will be tried again")
    assert told in first["reason"]
    assert first["retry_in_s"] < second["retry_in_s"]
    assert rig.proxy.met > 1


def test_a_download_that_ends_early(rig: Rig) -> None:
    """Since it takes more of the disk than was listed; or, where it hangs, is no longer wanted.

    Then its process is gone long before the download itself is given up. Nothing is left.
    """
    serving, logged = rig.serving(), len(rig.service.events())

    def newest() -> tuple[str, str]:
        promotion = rig.service.info()["promotions"][0]
        return promotion["version"], promotion["ending"]

    with rig.exact_traffic():
        with rig.proxy.failing(Fault.FILES_PADDED):
            rig.promote_new(next(_factors))
            rig.service.wait_until(
                lambda: rig.logged_since(logged, "promotion will be tried again"), "it has ended"
            )
            (ended, *_) = rig.logged_since(logged, "promotion will be tried again")
            assert "bytes of the disk" in ended["reason"]
        with rig.proxy.failing(Fault.FILES_SILENT):
            wanted = rig.promote_new(next(_factors))
            rig.service.wait_until(lambda: newest() == (wanted, "under way"), "it is noticed")
            rig.service.wait_until(lambda: rig.proxy.met, "a file is asked for")
            fetcher = rig.service.started_pids("registry-fetch")[-1]
            rig.promote(serving)
            rig.service.wait_until(lambda: waiting.is_gone(fetcher), "its process is gone", SOON_S)
            rig.service.wait_until(lambda: newest() == (wanted, "superseded"), "it is told")
            assert list((rig.service.cache_dir / "tmp").iterdir()) == []
            assert rig.serving() == serving


def test_wrong_digest(rig: Rig) -> None:
    """A version that was changed on disk is never loaded as it is: it is fetched again."""
    with rig.exact_traffic():
        version = rig.promote_new(next(_factors))
        rig.service.wait_serving(version)
        rig.service.wait_serving(rig.promote_other())
        (code,) = rig.service.cache_dir.glob(f"versions/{rig.name}-{version}-*/model/tiny_model.py")
        was = code.read_text("utf-8")
        code.chmod(0o600)
        code.write_text(was.replace("* context", "* 100 * context"), "utf-8")
        assert code.read_text("utf-8") != was
        logged = len(rig.service.events())
        rig.service.wait_serving(rig.promote(version))
        factor = rig.factors[version]
        assert rig.service.predict({"a": 1.0}).json()["predictions"] == [{"y": factor}]
    assert len(rig.logged_since(logged, "stored version is damaged and goes")) == 1
    assert code.read_text("utf-8") == was
