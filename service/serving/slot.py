"""The swap point: which loaded version answers, and who still uses the one before."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.core.errors import NoVersionError
from service.serving.model import LoadedModel


class Slot:
    """Holds the version that serves.

    All of this runs on one event loop: a lease is taken and a swap is made between two steps of
    it, so a request has either the old version for all of its life, or the new one.
    """

    def __init__(self) -> None:
        self._current: LoadedModel | None = None

    @property
    def current(self) -> LoadedModel | None:
        """The version that the next request will get."""
        return self._current

    @contextmanager
    def lease(self) -> Iterator[LoadedModel]:
        """Hold the current version, which is not closed before this is left.

        Raise NoVersionError where there is none.
        """
        model = self._current
        if model is None:
            raise NoVersionError("no version of the model can answer yet")
        model.take_lease()
        try:
            yield model
        finally:
            model.release_lease()

    def swap(self, candidate: LoadedModel | None) -> LoadedModel | None:
        """Make `candidate` the version that serves and return the one before.

        One assignment: requests that came before it finish with the one before, which must be
        drained and closed by the caller; those that come after it get the candidate.
        """
        previous, self._current = self._current, candidate
        if candidate is not None:
            candidate.begin_to_serve()
        return previous
