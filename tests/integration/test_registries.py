"""Real registry processes of a platform: looks together, downloads beside each other."""

from pathlib import Path

import anyio
import pytest

from service.core.errors import SourceUnavailableError
from service.core.versions import ModelRef
from service.platform import open_platform
from service.registry.address import RegistryAddress
from service.registry.messages import ResolveRequest
from service.registry.registry import Registry
from service.settings.service import ServiceSettings
from tests.support.stub_http import Answer, serving
from tools.mlflow_server import MlflowServer, unique_name

POINTERS = 6
TIMEOUT_S = 5.0
SILENT_S = 2.0
LIMIT_S = 60.0


async def look(registry: Registry, names: list[str]) -> dict[str, str]:
    """Resolve the champions of some models together."""
    numbers: dict[str, str] = {}

    async def resolve(name: str) -> None:
        reply = await registry.resolve(ResolveRequest(ModelRef.for_alias(name, "champion")))
        numbers[name] = reply.version.version if reply.version else ""

    async with anyio.create_task_group() as callers:
        for name in names:
            callers.start_soon(resolve, name)
    return numbers


async def test_pointers_are_resolved_together_and_a_silent_registry_delays_no_other_one(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """Each move is in the next look; what a silent one is asked for fails within its own time."""
    names = [unique_name() for _ in range(POINTERS)]
    for name in names:
        mlflow_server.register_tiny(name)
        mlflow_server.register_tiny(name)
        mlflow_server.set_alias(name, "champion", 1)
    silent = Answer()
    silent.silent.set()
    with serving(silent) as silent_uri:
        async with open_platform(ServiceSettings(cache_dir=tmp_path)) as platform:
            registry = platform.registry(RegistryAddress(mlflow_server.uri, "", "", TIMEOUT_S))
            other = platform.registry(RegistryAddress(silent_uri, "", "", SILENT_S))
            with anyio.fail_after(LIMIT_S):
                assert await look(registry, names) == dict.fromkeys(names, "1")
                async with anyio.create_task_group() as tasks:
                    answered = anyio.Event()

                    async def look_in_vain() -> None:
                        with pytest.raises(ExceptionGroup) as raised:
                            await look(other, names)
                        assert raised.group_contains(SourceUnavailableError)
                        assert answered.is_set()

                    tasks.start_soon(look_in_vain)
                    await anyio.sleep(0.1)
                    mlflow_server.set_alias(names[2], "champion", 2)
                    mlflow_server.delete_alias(names[3], "champion")
                    moved = {names[2]: "2", names[3]: ""}
                    assert await look(registry, names) == dict.fromkeys(names, "1") | moved
                    answered.set()
            assert not registry.looks_singly()


async def test_downloads_run_beside_each_other(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """Each version comes whole into a folder of its own."""
    name = unique_name()
    mlflow_server.register_tiny(name, 1.0)
    mlflow_server.register_tiny(name, 2.0)
    async with open_platform(ServiceSettings(cache_dir=tmp_path)) as platform:
        registry = platform.registry(RegistryAddress(mlflow_server.uri, "", "", TIMEOUT_S))
        fetched: dict[str, Path] = {}

        async def fetch(number: str) -> None:
            ref = ModelRef.for_stage(name, number)
            version = (await registry.resolve(ResolveRequest(ref))).version
            assert version is not None
            fetched[number] = await registry.fetch(version, tmp_path / number, LIMIT_S)

        async with anyio.create_task_group() as fetches:
            fetches.start_soon(fetch, "1")
            fetches.start_soon(fetch, "2")
        for number in ("1", "2"):
            assert fetched[number].is_relative_to(tmp_path / number)
            assert (fetched[number] / "MLmodel").is_file()
