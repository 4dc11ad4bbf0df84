"""A request that a version failed, kept for as long as another version may be asked the same."""

import hashlib

import msgspec

from service.contracts.contract import Call
from service.core.errors import ServiceError
from service.serving.interface import BodyLimits, EncodedRequest, Interface, Request
from service.workers.messages import RawRequest

_TOLD_APART_BY_BYTES = 32_768
"""Of each end of a body: reading more of a large one would take too long on the event loop."""


class FailedRequest(msgspec.Struct, frozen=True):
    """A request as it came, and what became of it."""

    request: Request
    error: ServiceError
    limits: BodyLimits
    call: Call | None = None
    """What was made of a request without a body."""

    def fingerprint(self) -> bytes:
        """Return what tells its body from others: its length and a digest of its ends."""
        if isinstance(self.request, EncodedRequest):
            body = self.request.body
        else:
            body = msgspec.msgpack.encode(self.call)
        digest = hashlib.blake2b(body[:_TOLD_APART_BY_BYTES], digest_size=16)
        digest.update(body[-_TOLD_APART_BY_BYTES:])
        return b"%d %b" % (len(body), digest.digest())

    def payload_for(self, interface: Interface) -> Call | RawRequest:
        """Return what a worker of a version is asked. Raise what its contract can't take."""
        if isinstance(self.request, EncodedRequest):
            return interface.payload(self.request, self.limits)[0]
        return self.request(interface.contract)
