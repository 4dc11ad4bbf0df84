"""Messages between the server process and a registry process; free of MLflow."""

import msgspec

from service.core.errors import (
    AnswerTooLargeError,
    FetchFailedError,
    SourceUnavailableError,
    StoreCorruptError,
)
from service.core.text import Sentence
from service.core.versions import ModelRef, ModelVersion
from service.processes.protocol import Errors, by_message

REGISTRY_TARGET = "service.registry.inside.client:operations"
"""A registry process runs this; its argument is a RegistryClientSettings."""
REGISTRY_ERRORS: Errors = by_message(
    SourceUnavailableError, FetchFailedError, StoreCorruptError, AnswerTooLargeError
)
"""The errors that its operations may raise."""
RESOLVE = "resolve"
SEARCH = "search"
DOWNLOAD = "download"
TAG = "tag"
DESCRIBE = "describe"
FIND_SIGNATURES = "find_signatures"
ADD_SIGNATURE = "add_signature"
ADD_FILE = "add_file"
FETCH_MEMORY_BYTES = 4 * 2**30
"""A process that downloads may hold this much: MLflow reads files in parts of 100 MB."""


class RegistryClientSettings(msgspec.Struct, frozen=True):
    """The time limit of each request of MLflow's client, and how often it tries again.

    What the user has set in MLflow's own variables counts before both. `memory_bytes` is how much
    more a registry process may hold than it does once it has started.
    """

    request_timeout_s: float
    retries: int = 0
    memory_bytes: int = 512 * 2**20


class ResolveRequest(msgspec.Struct, frozen=True):
    """Ask what a pointer means now."""

    ref: ModelRef


class ResolveReply(msgspec.Struct, frozen=True):
    """The version that it means, or None where the registry says that there is none, and why."""

    version: ModelVersion | None
    note: Sentence = ""


class SearchRequest(msgspec.Struct, frozen=True):
    """Ask what several pointers mean now, by one search."""

    refs: tuple[ModelRef, ...]


class SearchReply(msgspec.Struct, frozen=True):
    """The version that each pointer means, in the order of the request, as far as a search tells.

    None says nothing: it may be absent, or the search may not show it. `refused` says why the
    registry searches for no models by name, where that is so.
    """

    replies: tuple[ResolveReply | None, ...]
    refused: Sentence = ""


class TagRequest(msgspec.Struct, frozen=True):
    """Ask for tags on a registered version, in this order."""

    version: ModelVersion
    tags: dict[str, str]


class TagReply(msgspec.Struct, frozen=True):
    """They were written, unless `note` says why they never will be."""

    note: Sentence = ""


class DownloadRequest(msgspec.Struct, frozen=True):
    """Ask for a version's artifacts in `destination`, an empty or missing folder of ours."""

    version: ModelVersion
    destination: str


class DownloadReply(msgspec.Struct, frozen=True):
    """The folder that holds the version's MLmodel file, at or below the destination."""

    path: str
    files: int
    size_bytes: int


class DescribeRequest(msgspec.Struct, frozen=True):
    """Ask what the files of the stored version in `path` say of it; the answer is a Described."""

    path: str


class FindSignaturesRequest(msgspec.Struct, frozen=True):
    """Ask for a version's signatures in `destination`, a folder of ours.

    They are looked for below `signatures_uri`, where that is set, and beside the artifacts.
    """

    version: ModelVersion
    signatures_uri: str
    destination: str


class FindSignaturesReply(msgspec.Struct, frozen=True):
    """The files that were found, and where one would have been.

    `refused` says why one that is there was not fetched.
    """

    paths: tuple[str, ...]
    places: Sentence
    refused: Sentence = ""


class AddSignatureRequest(msgspec.Struct, frozen=True):
    """Ask to put a signature where it is looked for, as FindSignaturesRequest says."""

    version: ModelVersion
    signatures_uri: str
    path: str


class AddSignatureReply(msgspec.Struct, frozen=True):
    """Where it is now."""

    place: Sentence


class AddFileRequest(msgspec.Struct, frozen=True):
    """Ask to put a file beside a version's artifacts, under its own name."""

    version: ModelVersion
    path: str


class AddFileReply(msgspec.Struct, frozen=True):
    """Where it is now."""

    place: Sentence
