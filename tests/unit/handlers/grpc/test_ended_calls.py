"""What is logged of calls that are over before their answer."""

import logging

import pytest
from grpc._cython import cygrpc

from service.handlers.grpc.ended_calls import LIBRARY, EndedCalls
from tests.support.fake_workers import FakeWorkers
from tests.support.grpc_deployments import grpc_serving
from tests.support.served_version import serving

LOG = logging.getLogger(LIBRARY)


def log_raised(error: Exception) -> None:
    """Log an error as the library does."""
    try:
        raise error
    except type(error):
        LOG.exception("raised in core")


async def test_an_ended_call_is_no_traceback_and_all_else_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By the library's own error alone, and while the server runs."""
    async with serving(FakeWorkers()) as (deployed, _), grpc_serving(deployed):
        log_raised(cygrpc.ExecuteBatchError("execute_batch"))
        assert not [line for line in caplog.records if line.levelno > logging.INFO]
        log_raised(ValueError("not a call's end"))
        LOG.error("without an exception")
        assert any(isinstance(one, EndedCalls) for one in LOG.filters)
    assert LOG.filters == []
    told = [line.message for line in caplog.records if line.name == LIBRARY]
    assert told == ["raised in core", "without an exception"]
