"""How a scrape is written: by the format that is asked for, and of one moment."""

import gzip
from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from service.core.errors import NoVersionError
from service.core.events import PromotionOutcome
from service.core.protocols import WireProtocol
from service.telemetry.metrics.compat import Compat
from service.telemetry.metrics.exposition import exposition
from service.telemetry.metrics.families import FAMILIES, Kind
from service.telemetry.metrics.observer import MetricsObserver
from service.telemetry.observer import EVENTS
from tests.support.fake_source import a_version
from tests.support.metered import SERVING, Service
from tests.unit.telemetry.test_observer import TOLD

NATIVE = WireProtocol.NATIVE
ONE, TWO = a_version(1), a_version(2)
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


@pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8", plain_families),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", plain_families),
        (f"{OPEN_METRICS},*/*;q=0.1", OPEN_METRICS, open_families),
    ],
)
async def test_the_format_is_the_one_that_is_accepted(
    service: Service,
    observer: MetricsObserver,
    accept: str,
    content_type: str,
    parse: Callable[[str], object],
) -> None:
    """Both hold the same names, and parsers of both read them."""
    service.serving = SERVING
    _tell_all(observer)
    observer.request_failed(None, NATIVE, NoVersionError("none"), 0.0)
    observer.promotion_ended(TWO, PromotionOutcome.ROLLED_BACK, "")
    written = exposition(
        (await service.metrics.snapshot()), accept, compat=tuple(Compat), may_gzip=True
    )
    assert written.content_type.startswith(content_type)
    body = gzip.decompress(written.body).decode()
    families = list(parse(body))  # type: ignore[call-overload]
    assert {family.name for family in families} >= {
        family.name.removesuffix("_total") if family.kind is Kind.COUNTER else family.name
        for family in FAMILIES
        if "pinned" not in family.name
    }
    assert 'hotswap_requests_total{model="m",outcome="ok",protocol="native",version="2"} 1' in body


@pytest.mark.parametrize(
    "accept",
    [
        *("text/plain;version=x", "application/openmetrics-text; version=abc", "a;version=1;;=,,"),
        *("application/openmetrics-text;version=99.0.0", f"text/plain;version={'9' * 5000}.1"),
        *('text/plain;version="1.0.0"', 'text/plain;version=1.0.0.x"', ",;=", "*/*;q=é"),
    ],
)
async def test_what_accept_says_wrongly_is_passed_over(service: Service, accept: str) -> None:
    """It is the caller's text: none of it is repeated, and none is a defect of ours."""
    written = exposition(await service.metrics.snapshot(), accept)
    assert written.content_type == "text/plain; version=0.0.4; charset=utf-8"
    both = f"{accept},application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6"
    written = exposition(await service.metrics.snapshot(), both)
    assert written.content_type.startswith("application/openmetrics-text; version=1.0.0; ")


async def test_a_snapshot_stays_as_it_was(service: Service, observer: MetricsObserver) -> None:
    """It is written by another thread while the loop counts on."""
    _tell_all(observer)
    snapshot = await service.metrics.snapshot()
    before = exposition(snapshot, "", compat=tuple(Compat)).body
    _tell_all(observer)
    observer.request_answered(TWO, NATIVE, 1, 0.1)
    service.metrics.loop_lag.note(1.0)
    assert exposition(snapshot, "", compat=tuple(Compat)).body == before


def _tell_all(observer: MetricsObserver) -> None:
    for event in EVENTS:
        getattr(observer, event)(*TOLD[event])


async def test_labels_hold_any_name(service: Service) -> None:
    """A model's name may hold what the format has to escape."""
    name = 'a "b"\\c größe'
    service.models = {name: frozenset({"1"})}
    service.metrics.observer(name).request_answered(ONE, NATIVE, 1, 0.1)
    assert (await service.scrape())[f"hotswap_rows_total{{model={name},version=1}}"] == 1
