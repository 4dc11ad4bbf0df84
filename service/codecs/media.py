"""The media types that `/predict` speaks."""

from service.core.text_enum import TextEnum


class Media(TextEnum):
    """The kind of a request's body, or of its answer."""

    JSON = "application/json"
    ARROW = "application/vnd.apache.arrow.stream"
