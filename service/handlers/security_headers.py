"""Headers that tell browsers what an answer may be taken for."""

EVERY_ANSWER = ((b"x-content-type-options", b"nosniff"),)
"""No answer is anything but what it says: a JSON text of a caller's is no page."""
OF_PAGES: dict[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
"""What a page may do: nothing of it comes from elsewhere, and nothing stands in it as code."""
_CACHING = b"cache-control"
_NOT_KEPT = (_CACHING, b"no-store")


def guarded(method: str, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with those of every answer.

    No cache keeps it, unless it says otherwise: what serves may be another version by then. An
    answer to POST is kept by none anyway (RFC 9110, section 9.3.3).
    """
    if method == "POST" or any(name.lower() == _CACHING for name, _ in headers):
        return [*headers, *EVERY_ANSWER]
    return [*headers, *EVERY_ANSWER, _NOT_KEPT]
