"""Messages between the server process and the child that reads environments' files."""

from typing import Annotated

import msgspec

from service.core.described import NAME_CHARACTERS, Name
from service.core.text import LINE_CHARACTERS, Sentence

FILES_TARGET = "service.environments.inside.operations:operations"
"""Such a child runs this; it takes no argument."""
READ = "read"
RECORD = "record"
CHECK = "check"

MOST_LINES = 5_000
"""A version that names more packages is refused."""
Line = Annotated[str, msgspec.Meta(max_length=LINE_CHARACTERS)]
Lines = Annotated[tuple[Line, ...], msgspec.Meta(max_length=MOST_LINES)]

WHEELS = "the wheels in its artifacts"
UV_LOCK = "uv.lock"
LOCK = "its lock"
REQUIREMENTS = "requirements.txt"
CONDA = "conda.yaml"


class ReadRequest(msgspec.Struct, frozen=True):
    """Ask what the version in `path` is to have installed.

    `trusted_urls` are where packages come from by the operator's choice. Any other URL is refused,
    and so is a path, unless `allow_urls`. A project's two files are copied into `copy_to`.
    """

    path: str
    copy_to: str
    allow_urls: bool = False
    trusted_urls: tuple[str, ...] = ()


class Needs(msgspec.Struct, frozen=True):
    """What a version is to have installed, as its own files say.

    `found_by` is the file that says it, '' where none does. `requirements` are lines to be
    resolved, or, of a `lock`, to be installed as they are: with their hashes, and with all that
    they need. `loader` is the module that loads the model, `python` the version that it was logged
    with, '' where they are not named. `refusal` says why none of this can be used.
    """

    found_by: Name = ""
    python: Name = ""
    loader: Name = ""
    requirements: Lines = ()
    is_lock: bool = False
    project_digest: Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS)] = ""
    """SHA-256 over the copied files of a project, '' where it has none."""
    refusal: Sentence = ""


class RecordRequest(msgspec.Struct, frozen=True):
    """Ask to write down every file below `folder`, in `manifest`."""

    folder: str
    manifest: str


class Recorded(msgspec.Struct, frozen=True):
    """What was written down: the digest of all of it, and how much it is."""

    digest: Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS)]
    files: int
    size_bytes: int


class CheckRequest(msgspec.Struct, frozen=True):
    """Ask whether `folder` is as its manifest says, which has this digest.

    `fully` reads every file; else sizes and times are looked at.
    """

    folder: str
    manifest: str
    digest: str
    fully: bool


class Checked(msgspec.Struct, frozen=True):
    """The first difference that was found, '' where there is none."""

    difference: Sentence = ""
