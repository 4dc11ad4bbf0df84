"""How an answer names the version that gave it: in a JSON body, in a stream, in headers."""

from functools import cached_property
from urllib.parse import quote

import msgspec

from service.core.versions import ModelVersion

_NAME_AS_IT_IS = " !#$&'()*+,-./:;<=>?@[]^_`{|}~"
_VERSION_AS_IT_IS = ":-_."


class VersionNames(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """The registered model's name, the version, and the pointer that is followed.

    `label` is the pointer as people write it. Each form is made once.
    """

    model: str = ""
    version: str = ""
    label: str = ""

    @classmethod
    def of(cls, version: ModelVersion, label: str = "") -> "VersionNames":
        """Return the names of a version that this pointer leads to."""
        return cls(version.name, version.version, label)

    @cached_property
    def json_end(self) -> bytes:
        """The last fields of a JSON object, and its end."""
        encode = msgspec.json.encode
        return b'"model_name":%b,"model_stage":%b,"model_version":%b}' % (
            encode(self.model),
            encode(self.label),
            encode(self.version),
        )

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The metadata of an Arrow schema."""
        return {"hotswap.model_name": self.model, "hotswap.model_version": self.version}

    @cached_property
    def headers(self) -> dict[str, str]:
        """`x-model-name` and `x-model-version`; percent-encoded beyond ASCII (RFC 8187)."""
        return {
            "x-model-name": quote(self.model, safe=_NAME_AS_IT_IS),
            "x-model-version": quote(self.version, safe=_VERSION_AS_IT_IS),
        }

    @cached_property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """`headers` as ASGI has them."""
        return [(name.encode(), value.encode()) for name, value in self.headers.items()]

    @cached_property
    def trailers(self) -> tuple[tuple[str, str], ...]:
        """`headers` as gRPC has them."""
        return tuple(self.headers.items())
