"""A request that a version failed, kept for as long as another version may be asked the same."""

import hashlib

import msgspec

from service.codecs.media import Media
from service.contracts.bounds import ReadingCost
from service.contracts.contract import Call, Contract
from service.core.errors import ServiceError
from service.core.versions import ModelVersion
from service.workers.messages import RawRequest

_TOLD_APART_BY_BYTES = 32_768
"""Of each end of a body: reading more of a large one would take too long on the event loop."""


class FailedRequest(msgspec.Struct, frozen=True):
    """Its body as it came, and what became of it."""

    body: bytes
    kind: Media
    answer: Media
    error: ServiceError
    raw_body_bytes: int
    max_decoded_bytes: int

    def fingerprint(self) -> bytes:
        """Return what tells its body from others: its length and a digest of its ends."""
        digest = hashlib.blake2b(self.body[:_TOLD_APART_BY_BYTES], digest_size=16)
        digest.update(self.body[-_TOLD_APART_BY_BYTES:])
        return b"%d %b" % (len(self.body), digest.digest())

    def payload_for(self, version: ModelVersion, contract: Contract) -> Call | RawRequest:
        """Return what a worker of a version is asked. Raise what its contract can't take."""
        in_arrow = Media.ARROW in (self.kind, self.answer)
        large = len(self.body) > self.raw_body_bytes or ReadingCost(contract).is_high(self.body)
        if in_arrow or large:
            return raw_request(version, self.body, self.kind, self.answer, self.max_decoded_bytes)
        return contract.decode(self.body)


def raw_request(
    version: ModelVersion, body: bytes, kind: Media, answer: Media, max_decoded_bytes: int
) -> RawRequest:
    """Return what a worker of a version is asked for a body that it is to decode."""
    return RawRequest(
        kind,
        answer,
        max_decoded_bytes,
        {"hotswap.model_name": version.name, "hotswap.model_version": version.version},
        body=body,
    )
