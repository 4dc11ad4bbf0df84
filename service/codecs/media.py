"""The media types that `/predict` speaks."""

from enum import StrEnum


class Media(StrEnum):
    """The kind of a request's body, or of its answer."""

    JSON = "application/json"
    ARROW = "application/vnd.apache.arrow.stream"
