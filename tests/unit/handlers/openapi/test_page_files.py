"""The files of Swagger UI are those of its release."""

import hashlib

import pytest

from service.handlers.files import is_known
from service.handlers.openapi.page import FOLDER

RELEASE = {
    "LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "NOTICE": "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2",
    "favicon-32x32.png": "3ed612f41e050ca5e7000cad6f1cbe7e7da39f65fca99c02e99e6591056e5837",
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui-bundle.js.LICENSE.txt": (
        "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb"
    ),
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
"""SHA-256 of each file of npm's `swagger-ui-dist` 5.35.0 that is here."""
OURS = {"docs.html", "docs.css", "docs.js"}


def test_they_are_as_they_were_released() -> None:
    """Nothing was changed in them, and nothing else lies beside them."""
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert set(files) == {*RELEASE, *OURS}
    found = {name: hashlib.sha256(files[name]).hexdigest() for name in RELEASE}
    assert found == RELEASE


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ([], False),
        (['"a"'], True),
        (['W/"a"'], True),
        (['"b", "a"'], True),
        (['"b"', '"a"'], True),
        (["*"], True),
        (['"b"', "a", ""], False),
    ],
)
def test_a_tag_is_known_among_others(given: list[str], *, known: bool) -> None:
    """As RFC 9110 compares them for GET: weakly."""
    assert is_known(given, '"a"') is known
