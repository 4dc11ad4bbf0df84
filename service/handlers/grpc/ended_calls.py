"""What gRPC's library logs of a call that was over before its answer."""

import logging
from typing import Final

import structlog
from grpc._cython import cygrpc

LIBRARY: Final = "grpc._cython.cygrpc"

_log = structlog.get_logger("grpc")


class EndedCalls(logging.Filter):
    """Makes such a traceback one debug line: else a caller fills the log by calls that it breaks.

    The library itself says nothing of a caller that has gone, but for one that goes, or a message
    that is found too large, between its last look at the call and the answer.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the line is logged as it is."""
        kind = record.exc_info[0] if record.exc_info else None
        if kind is None or not issubclass(kind, cygrpc.ExecuteBatchError):
            return True
        _log.debug("call was over before its answer")
        return False
