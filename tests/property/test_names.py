"""Registered models' names, which may be nearly anything: read, kept as folders, and answered."""

import contextlib
import os

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mlflow.store.artifact.utils.models import _parse_model_uri

from service.core.version_names import VersionNames
from service.core.versions import STAGES, InvalidModelUriError, ModelRef, is_model_name
from tests.support.fake_source import a_version

EXAMPLES = 20_000 if os.environ.get("HOTSWAP_LONG_FAULTS") else 200
LONGEST_FILE_NAME_BYTES = 255
REMOVED = "~" + 32 * "0"
"""What the store adds to a key for a folder that is on its way out."""

odd = st.sampled_from([*"@?#. '\"\\é名𠀀-\u202e", "%2F", ".."])
names = st.lists(
    st.one_of(odd, st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)),
    min_size=1,
    max_size=30,
).map(lambda parts: "".join(parts).replace("/", "_").replace(":", "_"))
aliases = st.from_regex(r"[\w-]{1,40}", fullmatch=True)
common = settings(max_examples=EXAMPLES, deadline=None, derandomize=True)


@common
@given(name=names.filter(bool), alias=aliases, stage=st.sampled_from([*STAGES, "latest", "7"]))
@example(name="team@churn", alias="champion", stage="Production")
@example(name="@", alias="a", stage="1")
@example(name="m-1", alias="a", stage="latest")
def test_a_pointers_uri_is_read_as_it_was_written(name: str, alias: str, stage: str) -> None:
    """Whatever the name holds."""
    assert is_model_name(name)
    for ref in (ModelRef.for_alias(name, alias), ModelRef.for_stage(name, stage)):
        assert ModelRef.parse(ref.uri) == ref
        assert ref.name == name


@common
@given(name=names.filter(lambda name: name.strip() and "?" not in name), alias=aliases)
def test_an_alias_is_read_as_mlflow_reads_it(name: str, alias: str) -> None:
    """But for a '?', after which MLflow's own reader reads nothing."""
    theirs = _parse_model_uri(f"models:/{name}@{alias}")
    ours = ModelRef.parse(f"models:/{name}@{alias}")
    assert (ours.name, ours.target) == (theirs.name, theirs.alias)


@common
@given(text=st.text(max_size=60), prefix=st.sampled_from(["", "models:/", "runs:/", "models:/m@"]))
def test_any_text_is_a_pointer_or_refused(text: str, prefix: str) -> None:
    """By the error that is declared; what is a pointer is the same one again."""
    with contextlib.suppress(InvalidModelUriError):
        ref = ModelRef.parse(prefix + text)
        assert ModelRef.parse(ref.uri) == ref


@common
@given(name=names, number=st.integers(0, 10**18))
@example(name="𠀀" * 48, number=10**18)
def test_a_versions_key_is_a_folders_name(name: str, number: int) -> None:
    """With what the store adds to it, in any file system."""
    version = a_version(number, name=name)
    key = version.key
    assert not set('/\\:*?"<>|\x00') & set(key)
    assert key not in {".", ".."}
    assert len(f"{key}{REMOVED}".encode()) <= LONGEST_FILE_NAME_BYTES
    assert msgspec.structs.replace(version, workspace="w").key != key
    assert msgspec.structs.replace(version, name=name + "x").key != key


@common
@given(name=names)
def test_a_name_goes_into_a_header(name: str) -> None:
    """In ASCII, on one line."""
    value = VersionNames.of(a_version(1, name=name)).headers["x-model-name"]
    assert value.isascii()
    assert not any(ord(character) < 0x20 or ord(character) == 0x7F for character in value)
