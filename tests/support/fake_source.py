"""A Source whose registry is a variable.

The suite in tests/integration/test_source_contract.py holds it to what the real one does.
"""

from service.core.errors import SourceUnavailableError
from service.core.versions import ModelRef, ModelVersion
from service.registry.messages import ResolveReply, ResolveRequest


class FakeSource:
    """Resolves to `version`, or raises while `outage` says why."""

    def __init__(self, ref: ModelRef, version: ModelVersion | None = None) -> None:
        self._ref = ref
        self.version = version
        self.outage = ""
        self.asked = 0
        self.versions: dict[str, ModelVersion] = {}

    @property
    def ref(self) -> ModelRef:
        """The pointer that is followed."""
        return self._ref

    @property
    def immutable(self) -> bool:
        """Whether what it resolved to once is what it will always resolve to."""
        return self._ref.immutable

    @property
    def note(self) -> str:
        """A sentence about the last answer, '' where there is nothing to say."""
        return "" if self.version or not self.asked else f"{self._ref.uri} means nothing"

    async def resolve(self) -> ModelVersion | None:
        """Return the version, or raise the outage as SourceUnavailableError."""
        self.asked += 1
        if self.outage:
            raise SourceUnavailableError(self.outage)
        return self.version

    async def ask(self, request: ResolveRequest) -> ResolveReply:
        """Be the process that is asked for a version by its number: `versions` has them."""
        if self.outage:
            raise SourceUnavailableError(self.outage)
        return ResolveReply(self.versions.get(request.ref.target))


def a_version(number: str | int = 1, *, name: str = "m", created_ms: int = 0) -> ModelVersion:
    """Return a registered version of a model that is nowhere."""
    return ModelVersion(
        registry="http://registry.test",
        name=name,
        version=str(number),
        run_id=f"run{number}",
        source=f"models:/m-{number}",
        created_ms=created_ms,
    )
