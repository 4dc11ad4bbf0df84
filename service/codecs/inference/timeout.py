"""The time that a request gives itself: its parameter `timeout`, in microseconds, as Triton has it.

It is read apart from the rest of a request, since that may be read in a worker, and late.
"""

import msgspec

from service.contracts.contract import Contract
from service.contracts.faults import decode, violation

TIMEOUT = "timeout"
_MOST_JSON_BYTES = 1_048_576
"""JSON of more is not looked into: that would hold the event loop for longer than a millisecond."""
_WRITTEN = b'"timeout"'
_US_IN_S = 1_000_000
_MOST_US = 10**15
"""A longer time is as good as none, and may be too long for a float."""


class _Timed(msgspec.Struct, gc=False):
    parameters: dict[str, msgspec.Raw] | None = None


_TIMED = msgspec.json.Decoder(_Timed)
_COUNT = msgspec.json.Decoder(int)


def timeout_s_in(body: bytes, start: int, stop: int, contract: Contract) -> float | None:
    """Return the seconds that the JSON in body[start:stop] gives its request; None for no limit.

    0 is no limit, as Triton has it. Where the model itself has a parameter of this name, it is the
    model's alone. Raise ContractViolationError for what is no number of microseconds; what is wrong
    with the rest of the JSON is for the codec to say.
    """
    if stop - start > _MOST_JSON_BYTES or body.find(_WRITTEN, start, stop) < 0:
        return None
    try:
        parameters = _TIMED.decode(memoryview(body)[start:stop]).parameters or {}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return timeout_s_of(parameters.get(TIMEOUT), contract)


def timeout_s_of(given: msgspec.Raw | None, contract: Contract) -> float | None:
    """Return the seconds that this value of the parameter gives a request; see `timeout_s_in`."""
    if given is None or _is_the_models(contract):
        return None
    path = f"parameters.{TIMEOUT}"
    timeout_us = decode(_COUNT, given, path)
    if timeout_us < 0:
        raise violation(path, "microseconds, or 0 for no limit", timeout_us)
    return min(timeout_us, _MOST_US) / _US_IN_S or None


def _is_the_models(contract: Contract) -> bool:
    return any(one["name"] == TIMEOUT for one in contract.signature["params"] or ())
