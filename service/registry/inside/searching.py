"""Resolve many pointers by one search of the registry; runs in registry processes alone.

A search can only say what is there. It may be filtered by permission, cut into pages, or leave
prompts out: what is missing from it says nothing, and is to be asked for by name.
"""

import random
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.exceptions import MlflowException

from service.core.errors import SourceUnavailableError
from service.core.versions import ModelRef, ModelVersion, RefKind, version_number
from service.registry.inside.faults import explain
from service.registry.inside.numbers import milliseconds
from service.registry.inside.resolving import place, registered, resolve, short
from service.registry.messages import ResolveReply, ResolveRequest, SearchReply, SearchRequest

_UNQUOTED = frozenset("'\"`\\")
"""A name with one of these can't be written into a filter."""
_MOST_PAGES = 20
"""No further page of a search is read; what it has is asked for by name."""
_KNOWN_FOR_S = 900.0
"""After this time it is asked again what a version's number stands for."""
_MOST_KNOWN = 1_000
_NO_SEARCH = ("databricks-uc", "uc:")
"""Addresses that begin so are of registries which take no filter."""
_REFUSALS = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "ENDPOINT_NOT_FOUND"})
"""Servers answer so that know no search, or no IN: those before MLflow 3.9 or so."""

_Key = tuple[str, int, str]
"""A registered model, when it was created, and a version's number."""


class Searches:
    """Resolves many pointers together, and remembers what the numbers behind aliases stand for.

    A search tells an alias' number, and of versions those that are the highest of their stages.
    What any other version is comes from a look at the pointer by itself, once for each number: no
    version of a registered model ever gets the number of another one.
    """

    def __init__(
        self,
        ask: Callable[[ResolveRequest], ResolveReply] = resolve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._wanted: dict[ModelRef, _Key] = {}
        """The aliases whose number a search told, and not what it stands for."""
        self._known: OrderedDict[_Key, tuple[ModelVersion, float]] = OrderedDict()

    def resolve(self, request: ResolveRequest) -> ResolveReply:
        """Ask for one pointer by name, as `resolving.resolve` does; raise what that raises."""
        key = self._wanted.pop(request.ref, None)
        reply = self._ask(request)
        # It may have moved since.
        if key is not None and reply.version is not None and reply.version.version == key[-1]:
            self._remember(key, reply.version)
        return reply

    def search(self, request: SearchRequest) -> SearchReply:
        """Search for the models of all pointers. Raise SourceUnavailableError for no answer."""
        if len(self._wanted) > _MOST_KNOWN:
            self._wanted.clear()
        names = {ref.name for ref in request.refs if _can_be_quoted(ref.name)}
        if str(mlflow.get_registry_uri()).startswith(_NO_SEARCH):
            return SearchReply((None,) * len(request.refs), "Unity Catalog takes no filter")
        try:
            found = _models(names) if names else {}
        except Exception as error:
            said = explain(error, f"the registry at {place(request.refs[0])}")
            if isinstance(error, MlflowException) and error.error_code in _REFUSALS:
                return SearchReply((None,) * len(request.refs), said)
            raise SourceUnavailableError(said) from error
        return SearchReply(tuple(self._read(ref, found.get(ref.name)) for ref in request.refs))

    def _read(self, ref: ModelRef, model: Any) -> ResolveReply | None:
        """Return what a pointer means by a model that was found, None where that says nothing."""
        try:
            if ref.kind is RefKind.ALIAS:
                return self._read_alias(ref, model)
            heads = list(model.latest_versions)
            if ref.kind is RefKind.STAGE:
                heads = [head for head in heads if head.current_stage == ref.target]
            elif ref.kind is not RefKind.LATEST:
                return None
            return short(registered(ref, max(heads, key=lambda head: int(head.version))))
        except (SourceUnavailableError, LookupError, TypeError, ValueError, AttributeError):
            # By name it is either found, or absent, or an error that says what is wrong.
            return None

    def _read_alias(self, ref: ModelRef, model: Any) -> ResolveReply | None:
        number = version_number(str(model.aliases[ref.target]))
        if number is None:
            return None
        for head in model.latest_versions:
            if version_number(str(head.version)) == number:
                return short(registered(ref, head))
        key = (ref.name, milliseconds(model.creation_timestamp), number)
        version, until_s = self._known.get(key, (None, 0.0))
        if version is None or self._clock() >= until_s:
            self._wanted[ref] = key
            return None
        return ResolveReply(version)

    def _remember(self, key: _Key, version: ModelVersion) -> None:
        # So that not all of them are asked for in one look again.
        until_s = self._clock() + _KNOWN_FOR_S * random.uniform(0.5, 1)  # noqa: S311
        self._known.pop(key, None)
        self._known[key] = version, until_s
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)


def _can_be_quoted(name: str) -> bool:
    return bool(name) and _UNQUOTED.isdisjoint(name)


def _models(names: set[str]) -> dict[str, Any]:
    """Return the registered models of these names that a search finds, page after page."""
    client = mlflow.MlflowClient()
    listed = ", ".join(f"'{name}'" for name in sorted(names))
    found: dict[str, Any] = {}
    token: str | None = None
    for _ in range(_MOST_PAGES):
        page = client.search_registered_models(
            f"name IN ({listed})", max_results=len(names), page_token=token
        )
        found |= {model.name: model for model in page if model.name in names}
        token = page.token
        if not token or len(found) == len(names):
            break
    return found
