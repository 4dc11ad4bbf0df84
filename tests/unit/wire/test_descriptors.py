"""Connections never take the descriptors that the service itself and its workers need."""

import itertools

import pytest

from service.wire.descriptors import connections_for
from service.wire.limits import SPARE_CONNECTIONS

FOR_SERVICE, FOR_WORKER, VERSIONS = 64, 8, 3


@pytest.mark.parametrize("transports", [1, 2])
def test_what_is_left_for_connections_leaves_the_rest(transports: int) -> None:
    """Whatever the limit and MAX_CONNECTIONS, for each transport and those that wait."""
    limits = (256, 1_024, 20_000, 1_048_576)
    for limit, workers, wanted in itertools.product(limits, (1, 4, 8), (0, 50, 5_000)):
        most, backlog = connections_for(limit, workers, wanted, transports=transports)
        taken = transports * most + backlog + SPARE_CONNECTIONS
        if limit > 256 or workers == 1:
            assert taken + FOR_SERVICE + FOR_WORKER * VERSIONS * workers <= limit
        assert most >= 8
        assert not wanted or most <= wanted
    assert connections_for(20_000, 2, 0, transports=2)[0] > 5_000
