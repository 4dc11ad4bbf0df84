"""Which loaded version answers a request, and what a request holds of it until it is answered."""

from service.core.errors import NoVersionError
from service.serving.model import LoadedModel


class Lease:
    """What a request holds: a version that is not closed before this is left."""

    __slots__ = ("_model",)

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def __enter__(self) -> LoadedModel:
        """Begin to hold it."""
        self._model.take_lease()
        return self._model

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        self._model.release_lease()


class Routes:
    """The version that serves a deployment's requests.

    All of this runs on one event loop: a lease is taken and a swap is made between two steps of
    it, so a request has either the old version for all of its life, or the new one.

    One version serves today. `lease` alone chooses, so a second version gets a share of the traffic
    by being chosen there for some requests: the contract by which a body is read, and the model
    which answers it, both come from the lease. A copy of the traffic is a second lease, taken
    beside the first one in the same step; nobody waits for its answer. Versions and shares are then
    one immutable value, so that a change of them stays one assignment.
    """

    def __init__(self) -> None:
        self._current: LoadedModel | None = None

    @property
    def current(self) -> LoadedModel | None:
        """The version that the next request will get."""
        return self._current

    def lease(self) -> Lease:
        """Return a lease of the current version, to be entered before anything is awaited.

        Raise NoVersionError where there is none.
        """
        if self._current is None:
            raise NoVersionError("no version of the model can answer yet")
        return Lease(self._current)

    def swap(self, candidate: LoadedModel | None) -> LoadedModel | None:
        """Make `candidate` the version that serves and return the one before.

        One assignment: requests that came before it finish with the one before, which must be
        drained and closed by the caller; those that come after it get the candidate.
        Raise RuntimeError for a candidate that is not open to traffic.
        """
        if candidate is not None:
            candidate.begin_to_serve()
        previous, self._current = self._current, candidate
        return previous
