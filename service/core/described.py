"""The description in a model's files, as plain and short values: read in a child."""

from typing import Annotated

import msgspec

from service.core.text import LISTED_CHARACTERS, SENTENCE_CHARACTERS

MAX_REQUIREMENTS = 1_000
REQUIREMENT_CHARACTERS = LISTED_CHARACTERS

Requirement = Annotated[str, msgspec.Meta(max_length=REQUIREMENT_CHARACTERS)]
Name = Annotated[str, msgspec.Meta(max_length=100)]
NAME_CHARACTERS = 100


class Described(msgspec.Struct, frozen=True):
    """The description in MLmodel and requirements.txt.

    `python` is the version that it was logged with and `loader` the module that loads it, '' where
    they are not named; `requirements` are the lines of the file, of which `left_out` more were not
    read. `refusal` is why the files can't be read at all, '' where they can.
    """

    python: Name = ""
    loader: Name = ""
    requirements: Annotated[tuple[Requirement, ...], msgspec.Meta(max_length=MAX_REQUIREMENTS)] = ()
    left_out: int = 0
    refusal: Annotated[str, msgspec.Meta(max_length=SENTENCE_CHARACTERS)] = ""
