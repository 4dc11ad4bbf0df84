"""Whatever the server process does with texts that others wrote takes time in proportion to them.

Ten times the text may take fifteen times as long: work that grows faster holds up every answer,
once a text is long enough.
"""

import gc
import itertools
import os
import random
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from service.codecs.rows_and_columns.codec import RowsAndColumns
from service.contracts.derived import DerivedContract
from service.contracts.faults import decode
from service.core.errors import ContractViolationError, ServiceError
from service.core.redaction import redact
from service.core.text import bounded, bounded_between, presentable, presentable_lines, printable
from service.core.versions import InvalidModelUriError, ModelRef
from service.environments.comparison import compare
from service.handlers.media import kind_of_answer, kind_of_body
from service.handlers.problems import problem
from service.processes.output import LineSplitter
from service.processes.protocol import Fault, to_error
from service.registry.inside.describing import requirement_lines
from service.registry.inside.faults import explain
from service.telemetry.logging import make_presentable
from service.workers.errors import WORKER_ERRORS

LONG = os.environ.get("HOTSWAP_LONG_FAULTS") == "1"
SMALL, LARGE = (100_000, 1_000_000) if LONG else (4_000, 40_000)
MOST_TIMES_LONGER = 15.0
TOO_SHORT_S = 0.01
"""What takes no longer says nothing of how it grows, and holds up nobody."""
TRIES = 4

PIECES = (
    *(
        "a",
        "0f",
        "é",
        "\U0001f98a",
        "_",
        "-",
        ".",
        "+",
        "@",
        ":",
        "/",
        "=",
        "&",
        "'",
        '"',
        "\\",
        "%",
    ),
    *(" ", "\t", "\n", "\r", "\x1b", "\u2028", "`", "(", "[", "{", ";", ",", "<", "#", "9"),
    *("://", "a://", "a://b:", "a://b:c@", "a://b@", "a://1:1", "a=", "token", "token=", "token='"),
    *('token="', "sig=", "&sig=", "signature=", "signature=a1", "bearer ", "authorization: "),
    *("'token':", "'token':'", "'a':'b',", '"', "\ntoken: ", "\na: b ", "token: a", "a:  "),
    *("authorization:basic ", "x =  ", "token  ", "a==1", "a>=1,", "a;", "--hash", "\\\n", "- "),
    *("--token ", "--token '", "'--token', '", "-u a:", "--", "authorization: digest a=b, "),
    *('authorization: digest a="', 'a="b", ', "authorization: hawk a=, "),
    *("cookie: ", "eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "token%3D", "x_len=", "dapi"),
    *("Response body: '", "error code ", "timed out", "No module named 'a", "install", "%s"),
)
_CHANCE = random.Random(16)
MIXED = tuple(
    "".join(_CHANCE.choices(PIECES, k=_CHANCE.randint(2, 5))) for _ in range(200 if LONG else 8)
)

SIGNATURE = {
    "inputs": [
        {"name": "a", "type": "double"},
        {
            "name": "b",
            "type": "object",
            "required": False,
            "properties": {"a": {"type": "string", "required": False}},
        },
    ]
}
CONTRACT = DerivedContract(SIGNATURE, refuse_unknown=True)
CODEC = RowsAndColumns(CONTRACT)
STRICT = msgspec.json.Decoder(dict[str, int])


def ignoring(
    function: Callable[[str], object], *errors: type[Exception]
) -> Callable[[str], object]:
    """Return a function that may raise these."""

    def run(text: str) -> object:
        try:
            return function(text)
        except errors as error:
            return str(error)

    return run


def a_body(text: str) -> object:
    """Have a caller's text be wrong in every place that a body has."""
    for body in (
        {"instances": [{"a": text}]},
        {"instances": [{"a": 1, text: 1}]},
        {"instances": [{"a": 1, "b": {"a": 1, text: text}}]},
        {"columns": {text: [1]}},
        {text: text},
    ):
        try:
            CODEC.decode(msgspec.json.encode(body))
        except ServiceError as error:
            str(error)
    return None


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "redact": redact,
    "bounded": lambda text: bounded(text, 500),
    "bounded_between": lambda text: bounded_between(text, 500),
    "printable": printable,
    "presentable": presentable,
    "presentable without a limit": lambda text: presentable(text, len(text)),
    "presentable_lines": lambda text: presentable_lines(text, len(text)),
    "a log line": lambda text: make_presentable(
        None, "", {"event": text, "exception": text, text: [text, {text: text}]}
    ),
    "a problem": lambda text: problem(500, "", "", text, {"got": text}, {}),  # type: ignore[arg-type]
    "a child's fault": lambda text: to_error(Fault("model-failed", text, text), WORKER_ERRORS),
    "a contract violation": lambda text: ContractViolationError(text, None, text, text),
    "lines that are printed": lambda text: list(
        itertools.chain.from_iterable(
            map(LineSplitter(lambda: True).feed, [text.encode("utf-8", "replace")])
        )
    ),
    "a line in pieces": lambda text: _in_pieces(text.encode("utf-8", "replace")),
    "requirements": lambda text: compare(text, requirement_lines(text), "3", lambda _: None),
    "a registry's error": lambda text: explain(RuntimeError(text), text),
    "a body": a_body,
    "a strict decoder": ignoring(
        lambda text: decode(STRICT, msgspec.json.encode({text: text})), ServiceError
    ),
    "bytes that are no JSON": ignoring(
        lambda text: CODEC.decode(text.encode("utf-8", "replace")), ServiceError
    ),
    "a model's URI": ignoring(
        lambda text: [ModelRef.parse(start + text) for start in ("", "models:/", "runs:/")],
        InvalidModelUriError,
        ValueError,
    ),
    "a content type": ignoring(kind_of_body, ServiceError),
    "what is accepted": ignoring(
        lambda text: kind_of_answer(text, kind_of_body(None)), ServiceError
    ),
}


def _in_pieces(data: bytes) -> None:
    lines = LineSplitter(lambda: True)
    for start in range(0, len(data), 70):
        list(lines.feed(data[start : start + 70]))


def took_s(function: Callable[[str], Any], text: str) -> float:
    """Return the CPU time of a call."""
    started = time.process_time()
    function(text)
    return time.process_time() - started


def of_length(piece: str, length: int) -> str:
    """Return a text of so many characters that is this piece over and over."""
    return (piece * (length // len(piece) + 1))[:length]


def grows_too_fast(function: Callable[[str], Any], piece: str) -> str:
    """Return by how much, '' where it does not; a machine that is busy gets another try."""
    small, large = of_length(piece, SMALL), of_length(piece, LARGE)
    small_s = large_s = float("inf")
    for _ in range(TRIES):
        large_s = min(large_s, took_s(function, large))
        if large_s < TOO_SHORT_S:
            return ""
        small_s = min(small_s, took_s(function, small))
        if large_s <= MOST_TIMES_LONGER * small_s:
            return ""
    return f"{piece!r}: {small_s:.4f} s for {SMALL} characters, {large_s:.4f} s for {LARGE}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ten_times_the_text_takes_at_most_fifteen_times_as_long(name: str) -> None:
    """For runs of everything that a pattern looks for, alone and mixed."""
    gc.disable()
    try:
        found = [grows_too_fast(FUNCTIONS[name], piece) for piece in (*PIECES, *MIXED)]
    finally:
        gc.enable()
    assert [told for told in found if told] == []


def test_what_grows_too_fast_is_found() -> None:
    """Or this file would say nothing."""

    def quadratic(text: str) -> int:
        return sum(len(text[start:]) for start in range(0, len(text), 2))

    assert grows_too_fast(quadratic, "a")
