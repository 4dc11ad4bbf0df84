"""An answer as bytes, for the framework to send or for what answers without it."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import msgspec
from litestar import Response
from litestar.response import Stream

_STEP_BYTES = 1_048_576
"""Of a larger answer that is a view, parts of this size are copied for the connection."""
_KIND = b"content-type"

RawHeaders = list[tuple[bytes, bytes]]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Status, headers but for the length, and the body with the coding that it is to have."""

    status: int
    headers: RawHeaders
    body: bytes | memoryview
    coding: str = ""

    @classmethod
    def of(
        cls, status: int, media_type: str, body: bytes | memoryview, headers: Mapping[str, str]
    ) -> "Answer":
        """Return an answer with headers as texts."""
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        return cls(status, [(_KIND, media_type.encode()), *named], body)

    def parts(self) -> Iterator[bytes]:
        """Return the body in parts, one at least: whole where nothing need be copied for that."""
        if isinstance(self.body, bytes):
            yield self.body
            return
        yield bytes(self.body[:_STEP_BYTES])
        for start in range(_STEP_BYTES, len(self.body), _STEP_BYTES):
            yield bytes(self.body[start : start + _STEP_BYTES])

    def response(self) -> Response[Any]:
        """Return it as the framework has answers."""
        headers = {name.decode(): value.decode() for name, value in self.headers}
        media_type = headers.pop(_KIND.decode())
        if len(self.body) <= _STEP_BYTES or isinstance(self.body, bytes):
            body = bytes(self.body)
            return Response(body, status_code=self.status, media_type=media_type, headers=headers)
        headers["content-length"] = str(len(self.body))
        return Stream(
            self._streamed(), status_code=self.status, media_type=media_type, headers=headers
        )

    async def _streamed(self) -> AsyncIterator[bytes]:
        for part in self.parts():
            yield part
