"""Modules of ours that a worker imports when they are first needed, beside those of engines."""

from service.predictors.engines import catalog

ARROW_REQUEST = "service.codecs.arrow.request"
ARROW_ANSWER = "service.codecs.arrow.answer"


def late_modules() -> list[str]:
    """Return all modules that may be imported after the model is loaded."""
    return [ARROW_REQUEST, ARROW_ANSWER, *catalog.modules()]
