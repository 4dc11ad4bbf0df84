"""How an answer names the version that gave it."""

from functools import lru_cache
from urllib.parse import quote

import msgspec

from service.core.versions import ModelRef, ModelVersion
from service.serving.dataplane import Prediction

_REMEMBERED = 8
"""Versions whose names are kept encoded: the one that serves, and those around it."""


def version_headers(version: ModelVersion) -> dict[str, str]:
    """Return `x-model-name` and `x-model-version`; percent-encoded beyond ASCII (RFC 8187)."""
    return {
        "x-model-name": quote(version.name, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~"),
        "x-model-version": quote(version.version, safe=":-_."),
    }


class ReplyNames:
    """Puts the names into an answer, encoded once for each version."""

    def __init__(self, ref: ModelRef) -> None:
        self._label = ref.label
        self._raw_headers = lru_cache(_REMEMBERED)(_raw_headers)
        self._tail = lru_cache(_REMEMBERED)(self._encoded_tail)

    def reply(self, prediction: Prediction) -> bytes:
        """Return the JSON answer: the encoded predictions, untouched, and who gave them."""
        version = prediction.version
        tail = self._tail(version.name, version.version)
        return b'{"predictions":%b,%b' % (prediction.predictions, tail)

    def headers(self, version: ModelVersion) -> list[tuple[bytes, bytes]]:
        """Return `version_headers` as ASGI has headers."""
        return self._raw_headers(version)

    def _encoded_tail(self, name: str, version: str) -> bytes:
        encode = msgspec.json.encode
        return b'"model_name":%b,"model_stage":%b,"model_version":%b}' % (
            encode(name),
            encode(self._label),
            encode(version),
        )


def _raw_headers(version: ModelVersion) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in version_headers(version).items()]
