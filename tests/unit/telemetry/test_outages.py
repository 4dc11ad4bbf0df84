"""What is logged of a collector that can't be reached."""

import logging

import pytest

from service.telemetry.otlp.outages import OnePerOutage

LOGGER = "exporter-of-this-test"


def test_each_outage_has_one_line_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """However many exports fail meanwhile."""
    log = logging.getLogger(LOGGER)
    outages = OnePerOutage(LOGGER)
    with caplog.at_level(logging.INFO), outages.applied():
        outages.succeeded()
        for _ in range(2):
            for _ in range(3):
                log.warning("retrying")
                log.error("failed")
            outages.succeeded()
            outages.succeeded()
    assert caplog.messages == ["retrying", "exported again"] * 2
    log.error("not filtered any more")
    assert caplog.messages[-1] == "not filtered any more"
