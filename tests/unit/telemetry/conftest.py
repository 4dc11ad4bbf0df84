"""A service that metrics are counted for, without any process."""

import pytest

from service.telemetry.metrics.observer import MetricsObserver
from tests.support.metered import Service


@pytest.fixture
def service() -> Service:
    """Return a service with a model whose version 1 is live."""
    return Service()


@pytest.fixture
def observer(service: Service) -> MetricsObserver:
    """Return what counts for the model's deployment."""
    return service.metrics.observer("m")
