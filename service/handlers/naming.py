"""How an answer names the version that gave it."""

from functools import lru_cache
from urllib.parse import quote

import msgspec

from service.core.versions import ModelVersion
from service.serving.dataplane import Prediction

_REMEMBERED = 256
"""Versions whose names are kept encoded: those that serve, and those around them."""


def version_headers(version: ModelVersion) -> dict[str, str]:
    """Return `x-model-name` and `x-model-version`; percent-encoded beyond ASCII (RFC 8187)."""
    return {
        "x-model-name": quote(version.name, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~"),
        "x-model-version": quote(version.version, safe=":-_."),
    }


class ReplyNames:
    """Puts the names into an answer, encoded once for each version."""

    def __init__(self) -> None:
        self._raw_headers = lru_cache(_REMEMBERED)(_raw_headers)
        self._tail = lru_cache(_REMEMBERED)(_encoded_tail)

    def reply(self, prediction: Prediction, label: str) -> bytes:
        """Return the JSON answer: the encoded predictions, untouched, and which version gave them.

        `label` is the pointer that is followed, as people write it.
        """
        version = prediction.version
        tail = self._tail(version.name, label, version.version)
        return b'{"predictions":%b,%b' % (prediction.predictions, tail)

    def headers(self, version: ModelVersion) -> list[tuple[bytes, bytes]]:
        """Return `version_headers` as ASGI has headers."""
        return self._raw_headers(version)


def _encoded_tail(name: str, label: str, version: str) -> bytes:
    encode = msgspec.json.encode
    return b'"model_name":%b,"model_stage":%b,"model_version":%b}' % (
        encode(name),
        encode(label),
        encode(version),
    )


def _raw_headers(version: ModelVersion) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in version_headers(version).items()]
