"""What the server process and a worker say to each other, beside Call and Predictions."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.codecs.catalog import ROWS_AND_COLUMNS
from service.codecs.codec import AnswerForm
from service.contracts.contract import Call
from service.core.text import Sentence
from service.core.trace_context import TraceContext
from service.core.version_names import VersionNames
from service.predictors.answer_rules import AnswerRules
from service.predictors.examples import SHOWN_BYTES
from service.predictors.report import Report


class LoadRequest(msgspec.Struct, frozen=True):
    """Load the model in `path`, if its files' manifest still has this digest.

    `name` is the registered model's, which may have a contract of its own; `threads` is how many
    the worker's numeric libraries may use. `compiled` is the folder of the version's compiled
    predictors, '' where there is none. `own_folder` is where the model gets its files, '' where
    it gets those in `path`; `copied` is whether it may share none of them. `plugins` are the places
    of contracts that were written for the model, None to look for them in the worker.
    """

    path: str
    digest: str
    name: str
    refuse_unknown: bool
    threads: int
    compiled: str = ""
    answers: AnswerRules = AnswerRules()
    own_folder: str = ""
    copied: bool = False
    plugins: tuple[str, ...] | None = None


class ActivateRequest(msgspec.Struct, frozen=True):
    """Answer with the compiled predictors in this folder from now on."""

    compiled: str


class ActivateReply(msgspec.Struct, frozen=True):
    """The report of the compiled predictors that were taken into use, or why none were."""

    report: Report | None
    reason: Sentence = ""


class Writes(msgspec.Struct, frozen=True):
    """What a model has changed beside its artifacts.

    `told` says so for people, '' where it changed nothing; `reached_store` is whether that was a
    file that it shared with the store.
    """

    told: str = ""
    reached_store: bool = False


class LoadReply(msgspec.Struct, frozen=True):
    """What was loaded: the parsed signature, and the versions that matter to people.

    `activated` is what came of the compiled predictors that were asked for; `pyfunc_only` says why
    there can't be any, '' where there may be.
    """

    signature: dict[str, Any]
    mlflow_version: Sentence
    python_version: Sentence
    load_s: float
    activated: ActivateReply = ActivateReply(None)
    pyfunc_only: Sentence = ""
    writes: Writes = Writes()


class SmokeRequest(msgspec.Struct, frozen=True):
    """Predict on the model's own input example, on the incumbent's, or on rows that are made up.

    `incumbent_path` is the folder of the version that serves, '' where none does.
    """

    incumbent_path: str = ""


class SmokeReply(msgspec.Struct, frozen=True):
    """What came of it.

    `rows_from` says whose rows they were; `refusal` is '' where the answers are of the right shape
    and finite; `row_wise` is whether rows alone are answered as rows together, which `row_wise_why`
    explains; `example` is the beginning of the model's own input example, as a body in JSON.
    """

    rows_from: Sentence
    rows: int
    refusal: Sentence
    row_wise: bool
    row_wise_why: Sentence
    writes: Writes = Writes()
    example: Annotated[bytes, Meta(max_length=SHOWN_BYTES)] = b""


class SpeedRequest(msgspec.Struct, frozen=True):
    """Time calls on the rows that a SmokeRequest would find."""

    incumbent_path: str = ""


class Timing(msgspec.Struct, frozen=True):
    """What one call with so many rows took: the median of `runs`."""

    rows: int
    ms: float
    runs: int


class SpeedReply(msgspec.Struct, frozen=True):
    """The timings, by rows; none where the model raises on what it could be timed with."""

    timings: tuple[Timing, ...]


class TracedCall(Call, frozen=True, array_like=True):
    """A call of which some request is traced. Others say nothing of it, which costs nothing."""

    trace: TraceContext | None = None
    """What the model's own spans are children of."""


def traced(call: Call, trace: TraceContext) -> TracedCall:
    """Return a call with the context of a trace."""
    return TracedCall(call.rows, call.columns, call.params, call.filled, trace)


class RawRequest(msgspec.Struct, frozen=True, array_like=True):
    """Answer an undecoded body of one codec by an answer of one codec.

    It may have so many bytes once it is decoded; `names` goes into the answer. `chunked` is for
    one between whose chunks other calls are answered. With `wants_form` the worker is to find out
    how MLflow writes this model's answers, unless it has tried. `trace` is what the model's own
    spans are children of. The body stands last: see `protocol.encode_request`.
    """

    codec: str = ROWS_AND_COLUMNS
    answer: str = ROWS_AND_COLUMNS
    max_decoded_bytes: int = 0
    names: VersionNames = VersionNames()
    chunked: bool = False
    wants_form: bool = False
    trace: TraceContext | None = None
    body: bytes = b""


class BodyChunk(msgspec.Struct, frozen=True, array_like=True):
    """The next chunk of a body whose last one comes with its RawRequest."""

    chunk: bytes = b""


class RawReply(msgspec.Struct, frozen=True):
    """The whole answer to a raw body, empty where a row is not finite.

    `client_request_id` is what the body called the request, '' for nothing. `scored_as` is
    how MLflow writes this model's answers, None where that is not certain or was not asked.
    """

    rows: int
    body: bytes
    non_finite_row: int | None
    client_request_id: Sentence = ""
    scored_as: AnswerForm | None = None
