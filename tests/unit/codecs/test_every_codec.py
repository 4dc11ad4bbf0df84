"""What every codec does alike, whatever its protocol: one suite for all of the catalog."""

from random import Random
from typing import Any

import numpy as np
import pytest

from service.codecs import catalog
from service.codecs.bounds import Bounds
from service.codecs.catalog import WorkerCodecs
from service.codecs.codec import Codec
from service.contracts.choose import contract_for
from service.contracts.contract import Call, Contract, Predictions
from service.core.errors import (
    BodyTooLargeError,
    ContractViolationError,
    MalformedBodyError,
    SignatureError,
)
from service.core.version_names import VersionNames
from service.processes.inside.late_imports import late_import
from tests.fuzz.nonsense import mutated
from tests.support import tensors_codec
from tests.support.codec_speakers import SPEAKERS, Speaker
from tests.support.envelopes import decoded, finished
from tests.support.tensors_codec import Tensors

NAMES = VersionNames("größe", "7", "@champion")
MOST_BYTES = 2**28
MUTATIONS = 300
COLUMNS: dict[str, list[Any]] = {
    "x": [1.5, -2.0, 0.25],
    "n": [1, 2**62, -3],
    "ok": [True, False, True],
    "label": ["a", "", "é"],
}
KINDS = {"x": "double", "n": "long", "ok": "boolean", "label": "string"}
EVERY = pytest.mark.parametrize(
    ("name", "speaker"), SPEAKERS, ids=[type(speaker).__name__ for _, speaker in SPEAKERS]
)


def contract(**kinds: str) -> Contract:
    """Return the contract of inputs of these types."""
    inputs = [{"name": name, "type": kind, "required": True} for name, kind in kinds.items()]
    return contract_for(
        "any", {"inputs": inputs, "outputs": None, "params": None}, refuse_unknown=False
    )


@pytest.fixture(autouse=True)
def another_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a codec as the next protocol would be: in one place."""
    monkeypatch.setitem(catalog.EVERYWHERE, tensors_codec.NAME, Tensors)


def opened(name: str, subject: Contract) -> Codec:
    """Open a codec as a worker does."""
    return WorkerCodecs(subject, late_import)[name]


def an_answer(rows: int) -> Predictions:
    """Return an answer with a buffer, a buffer of several a row, and a list."""
    numbers = np.arange(rows, dtype="float64")
    wide = np.arange(2 * rows, dtype="int64")
    labels: list[Any] = [f"row {row}" for row in range(rows)]
    return Predictions(
        rows,
        ["y", "wide", "label"],
        [numbers.tobytes(), wide.tobytes(), labels],
        ["float64", "int64", ""],
        [[], [2], []],
        [],
    )


def test_each_codec_has_a_client_here() -> None:
    """What is registered passes this suite."""
    assert {name for name, _ in SPEAKERS} == set(catalog.names())


@EVERY
def test_the_same_values_are_the_same_call(name: str, speaker: Speaker) -> None:
    """So that requests of several protocols may share a batch."""
    subject = contract(**KINDS)
    codec = opened(name, subject)
    body = speaker.request(COLUMNS)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
    call, _ = codec.decode(body, Bounds(len(body), MOST_BYTES))
    assert call == codec.decode(body)[0] == decoded(subject, SPEAKERS[0][1].request(COLUMNS))
    assert call.rows == len(rows)


@EVERY
def test_an_answer_holds_the_rows_that_are_asked_for_and_its_version(
    name: str, speaker: Speaker
) -> None:
    """Of a batch, each request gets its own."""
    codec = opened(name, contract(x="double"))
    _, wanted = codec.decode(speaker.request({"x": [1.0]}))
    answer = an_answer(9)
    for start, stop in ((0, 9), (3, 5), (8, 9)):
        body = codec.encode(answer, start, stop, wanted, NAMES)
        values, version = speaker.answer(body)
        assert values == {
            "y": [float(row) for row in range(start, stop)],
            "wide": [[2 * row, 2 * row + 1] for row in range(start, stop)],
            "label": [f"row {row}" for row in range(start, stop)],
        }
        assert version == "7"


@EVERY
def test_chunks_come_to_the_whole(
    name: str, speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte, however small they are."""
    monkeypatch.setattr("service.codecs.json.encoding.CHUNK_VALUES", 30)
    monkeypatch.setattr("service.codecs.rows_and_columns.chunks.CHUNK_BYTES", 200)
    codec = opened(name, contract(**KINDS))
    body = speaker.request({name: values * 40 for name, values in COLUMNS.items()})
    bounds = Bounds(len(body), MOST_BYTES)
    (call, wanted), _ = finished(codec.decode_chunked(body, bounds))
    assert (call, wanted) == codec.decode(body, bounds)
    answer = an_answer(120)
    for rows in ((0, 120), (7, 99)):
        chunked, _ = finished(codec.encode_chunked(answer, *rows, wanted, NAMES))
        assert chunked == codec.encode(answer, *rows, wanted, NAMES)
    assert codec.least_bytes(answer, wanted) <= len(codec.encode(answer, 0, 120, wanted, NAMES))


@EVERY
def test_what_is_wrong_is_told_alike_in_chunks(name: str, speaker: Speaker) -> None:
    """With the row as the whole body counts it."""
    codec = opened(name, contract(x="double"))
    body = speaker.request({"x": [*[1.0] * 60, "wrong"] if name != catalog.ARROW else ["wrong"]})
    bounds = Bounds(len(body), MOST_BYTES)
    told = []
    for read in (codec.decode, lambda *sent: finished(codec.decode_chunked(*sent))):
        with pytest.raises(ContractViolationError) as refused:
            read(body, bounds)
        told.append((str(refused.value), refused.value.path, refused.value.row))
    assert told[0] == told[1]


@EVERY
def test_more_rows_than_the_bounds_allow_are_refused(name: str, speaker: Speaker) -> None:
    """Whether or not the body is large."""
    codec = opened(name, contract(x="long"))
    body = speaker.request({"x": [1] * 100_001})
    with pytest.raises(BodyTooLargeError):
        codec.decode(body, Bounds(len(body), 1))


@EVERY
def test_bodies_that_are_wrong_anywhere_raise_what_callers_are_told(
    name: str, speaker: Speaker
) -> None:
    """Never anything else; and what is taken has as many rows in each column."""
    rng = Random(f"codecs {name} {type(speaker).__name__}")
    codec = opened(name, contract(**KINDS))
    good = speaker.request(COLUMNS)
    taken = 0
    for _ in range(MUTATIONS):
        body = mutated(rng, good)
        try:
            call, _ = codec.decode(body, Bounds(len(body), MOST_BYTES))
        except (ContractViolationError, MalformedBodyError, BodyTooLargeError):
            continue
        taken += 1
        assert _lengths(call) == {call.rows}
    assert taken < MUTATIONS


def _lengths(call: Call) -> set[int]:
    widths = (8, 8, 1, 1)
    return {len(column) // width for column, width in zip(call.columns, widths, strict=True)}


def test_a_contract_whose_types_cannot_be_read_is_refused_when_its_codecs_are_opened() -> None:
    """A plug-in may give any."""
    subject: Any = contract(x="double")
    subject.value_types = (dict[set[int], int] | list[str] | tuple[str],)
    with pytest.raises(SignatureError):
        catalog.open_codecs(subject)
