"""A filter on one of the standard library's loggers, for a while."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def filtered(logger: str, by: logging.Filter) -> Iterator[None]:
    """Filter what is logged by this name meanwhile."""
    found = logging.getLogger(logger)
    found.addFilter(by)
    try:
        yield
    finally:
        found.removeFilter(by)
