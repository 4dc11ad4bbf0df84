"""What kind of body a `Content-Type` says, as MLflow reads it, and where that is put right."""

import pytest

from service.core.errors import UnsupportedContentTypeError
from service.handlers.scoring.invocations import codec_of


@pytest.mark.parametrize(
    ("content_type", "codec"),
    [
        ("application/json", "mlflow-json"),
        ("application/json; charset=utf-8", "mlflow-json"),
        ("application/json;charset=UTF-8", "mlflow-json"),
        (" text/csv ;  charset=utf-8 ", "mlflow-csv"),
        ("application/vnd.apache.parquet", "mlflow-parquet"),
    ],
)
def test_what_mlflow_takes_is_taken(content_type: str, codec: str) -> None:
    """By its kind; the charset may be said."""
    assert codec_of(content_type) == codec


@pytest.mark.parametrize(
    "content_type",
    [
        "Application/JSON",
        'application/json; charset="utf-8"',
        "application/json; Charset=utf-8",
        "application/json; charset=utf8",
        "application/json;",
    ],
)
def test_what_http_means_by_the_same_is_taken_too(content_type: str) -> None:
    """MLflow refuses these spellings, which RFC 9110 lets a client choose."""
    assert codec_of(content_type) == "mlflow-json"


@pytest.mark.parametrize(
    ("content_type", "sentence"),
    [
        (None, "only supports the following content types"),
        ("", "only supports the following content types"),
        ("text/plain", "only supports the following content types"),
        ("application/json, text/csv", "only supports the following content types"),
        ("application/json\x00", "only supports the following content types"),
        ("application/json; charset=latin-1", "only supports UTF-8"),
        ("text/csv; charset=utf-16", "only supports UTF-8"),
        ("application/json; charset", "only supports UTF-8"),
        ("application/json; format=pandas-split", "Unrecognized content type parameters: format"),
        ("text/csv; boundary=x; charset=utf-8", "Unrecognized content type parameters: boundary"),
    ],
)
def test_what_mlflow_refuses_is_refused(content_type: str | None, sentence: str) -> None:
    """With its sentence; and so is a request without a kind, which its server fails over."""
    with pytest.raises(UnsupportedContentTypeError, match=sentence):
        codec_of(content_type)


def test_a_refusal_repeats_little_of_the_header() -> None:
    """And nothing of it that no terminal should get."""
    with pytest.raises(UnsupportedContentTypeError) as refused:
        codec_of("\x1b[31m" + "x" * 5000)
    assert len(str(refused.value)) < 300
    assert "\x1b" not in str(refused.value)
