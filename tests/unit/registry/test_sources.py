import subprocess
import sys
from pathlib import Path

import pytest

from service.core.errors import ChildLostError, FetchFailedError, SourceUnavailableError
from service.core.versions import ModelRef
from service.registry.messages import ResolveReply, ResolveRequest
from service.registry.sources import RegistrySource
from tests.support.fake_source import a_version

REF = ModelRef.parse("models:/m@champion")


async def test_the_registrys_answer_is_the_sources() -> None:
    """Version and note come from the reply, the pointer is what was given."""
    asked: list[ResolveRequest] = []

    async def ask(request: ResolveRequest) -> ResolveReply:
        asked.append(request)
        return ResolveReply(a_version(3), "told")

    source = RegistrySource(REF, ask)
    assert await source.resolve() == a_version(3)
    assert (source.ref, source.immutable, source.note) == (REF, False, "told")
    assert asked == [ResolveRequest(REF)]


@pytest.mark.parametrize(
    "fault",
    [
        SourceUnavailableError("registry down"),
        ChildLostError("registry down"),
        FetchFailedError("registry down"),
        TimeoutError("registry down"),
        BrokenPipeError("registry down"),
    ],
)
async def test_whatever_fails_on_the_way_is_an_outage(fault: Exception) -> None:
    """Never None: that would mean that nothing is promoted."""

    async def ask(_: ResolveRequest) -> ResolveReply:
        raise fault

    with pytest.raises(SourceUnavailableError, match="registry down"):
        await RegistrySource(REF, ask).resolve()


@pytest.mark.parametrize(
    ("uri", "immutable"), [("models:/m/3", True), ("models:/m/latest", False), ("runs:/1/a", True)]
)
def test_a_pinned_pointer_is_immutable(uri: str, immutable: bool) -> None:  # noqa: FBT001
    """There is nothing to poll for."""

    async def ask(_: ResolveRequest) -> ResolveReply:
        raise AssertionError

    assert RegistrySource(ModelRef.parse(uri), ask).immutable is immutable


def test_the_servers_side_of_the_registry_imports_no_mlflow() -> None:
    """Nor pandas: the server process is up immediately, and small."""
    code = (
        "import sys, service.registry.sources, service.registry.messages;"
        "import service.store.artifact_store;"
        "print({'mlflow', 'pandas'} & set(sys.modules))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=Path(__file__).parents[3]
    ).stdout
    assert printed.strip() == b"set()"
