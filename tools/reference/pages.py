"""The pages of the reference."""

from tools.reference import grpc_calls, http_calls


def pages() -> dict[str, str]:
    """Return each page by the name of its file."""
    return {"http.md": http_calls.page(http_calls.source()), "grpc.md": grpc_calls.page()}
