"""Write the reference of HTTP and of gRPC into docs/reference: `python -m tools.reference`."""

from pathlib import Path

from tools.reference import grpc_calls, http_calls

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


def pages() -> dict[str, str]:
    """Return each page by the name of its file."""
    return {"http.md": http_calls.page(http_calls.source()), "grpc.md": grpc_calls.page()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")
