"""A secret in a form that libraries write never comes out, whatever stands around it."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.redaction import redact

FORMS = (
    "https://user:{}@host/path",
    "https://{}@host",
    "https://host/c?sv=2024&sig={}&se=1",
    "https://host/c?signature={}",
    "https://host/k?X-Amz-Signature={}&X-Amz-Date=1",
    "https%3A%2F%2Fhost%2Fc%3Fsig%3D{}",
    "Authorization: Bearer {}",
    "'Authorization': 'Basic {}'",
    "AWS_SECRET_ACCESS_KEY={}",
    "password='{}'",
    'client_secret = "{}"',
    "{{'api_key': '{}'}}",
    '{{"token":"{}"}}',
    "AccountName=n;AccountKey={};EndpointSuffix=x",
    "--token={}",
    "--password {}",
    "'--password', '{}'",
    "-u me:{}",
    'Authorization: Digest username="a", nc=1, response="{}"',
    "eyJ{0}.eyJ{0}.{0}",
    "ghp_{0}{0}",
)
SECRETS = st.text(string.ascii_letters + string.digits, min_size=18, max_size=40).map("Q7{}".format)
AROUND = st.text(st.characters(exclude_characters="'\""), max_size=60)
WORDS = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=9), max_size=8).map(" ".join)


@pytest.mark.parametrize("form", FORMS)
@given(before=AROUND, secret=SECRETS, after=AROUND)
@settings(max_examples=60)
def test_a_secret_never_comes_out(form: str, before: str, secret: str, after: str) -> None:
    """Between texts of any characters but quotes, which say themselves where a value ends."""
    assert secret not in redact(f"{before} {form.format(secret)} {after}")


@pytest.mark.parametrize("form", FORMS)
@given(before=WORDS, secret=SECRETS, after=WORDS)
@settings(max_examples=40)
def test_the_words_around_it_stay(form: str, before: str, secret: str, after: str) -> None:
    """Only what is secret is hidden; a bearer's next word may be taken for what it bears."""
    shown = redact(f"{before}. {form.format(secret)} .{after}")
    assert shown.startswith(f"{before}. ")
    assert shown.endswith(f" .{after}")
    assert "***" in shown


@given(text=WORDS)
def test_words_are_no_secrets(text: str) -> None:
    """A sentence of words is shown as it is."""
    assert redact(text) == text
