"""Tags on a real registry's versions, by a real service; and what is not tagged."""

from pathlib import Path

import msgspec
import pytest

from service.core.errors import SourceUnavailableError
from service.core.versions import ModelRef, ModelVersion
from service.registry.inside import client
from service.registry.inside.resolving import resolve
from service.registry.messages import ResolveRequest, TagRequest
from tools import running_service
from tools.mlflow_server import MlflowServer, unique_name


def tags(server: MlflowServer, name: str, version: str) -> dict[str, str]:
    """Return what MLflow's page of a version shows of ours."""
    with server.active():
        shown: dict[str, str] = server.client.get_model_version(name, version).tags
    return {key.removeprefix("hotswap."): value for key, value in shown.items()}


def promoted(server: MlflowServer, name: str) -> ModelVersion:
    """Return a registered version as the server process knows it."""
    server.register_tiny(name)
    with server.active():
        version = resolve(ResolveRequest(ModelRef.parse(f"models:/{name}/1"))).version
    assert version is not None
    return version


def test_the_one_who_promoted_sees_in_mlflow_what_became_of_it(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """Serving, refused with the reason, retired: in tags, with since when and by which host."""
    name = unique_name("told-back")
    mlflow_server.register_tiny(name, 2.0)
    mlflow_server.register_unruly(name, on_load="raise")
    mlflow_server.register_tiny(name, 3.0)
    mlflow_server.set_alias(name, "live", 1)
    with running_service.start(
        tmp_path, mlflow_server.uri, model_uri=f"models:/{name}@live", write_back="true"
    ) as service:

        def wait(version: str, status: str) -> dict[str, str]:
            service.wait_until(
                lambda: tags(mlflow_server, name, version).get("status") == status,
                f"version {version} is tagged {status}",
            )
            return tags(mlflow_server, name, version)

        serving = wait("1", "serving")
        assert set(serving) == {"status", "reason", "since", "host"}
        assert serving["since"].endswith("Z")
        assert serving["host"]
        mlflow_server.set_alias(name, "live", 2)
        assert "refused by the load gate" in wait("2", "refused")["reason"]
        assert tags(mlflow_server, name, "1") == serving
        mlflow_server.set_alias(name, "live", 3)
        wait("3", "serving")
        wait("1", "retired")
        # Versions are what they were: their tags are no part of them.
        assert len(service.info()["promotions"]) == 3
        assert not [event for event in service.events() if event.get("level") == "error"]


@pytest.mark.usefixtures("registry_client_environment")
def test_a_version_that_is_gone_or_another_by_now_is_not_tagged(
    mlflow_server: MlflowServer,
) -> None:
    """Nobody tries again: it will never be that version."""
    name = unique_name("recreated")
    version = promoted(mlflow_server, name)
    other = msgspec.structs.replace(version, created_ms=version.created_ms - 1)
    request = TagRequest(other, {"hotswap.status": "serving"})
    with mlflow_server.active():
        assert "another version" in client.tag(request).note
        assert tags(mlflow_server, name, "1") == {}
        mlflow_server.delete_model(name)
        assert "no such version" in client.tag(TagRequest(version, request.tags)).note


@pytest.mark.usefixtures("registry_client_environment")
def test_a_registry_that_takes_no_tags_says_so(mlflow_server: MlflowServer) -> None:
    """As something that may pass, in a sentence."""
    name = unique_name("untaggable")
    request = TagRequest(promoted(mlflow_server, name), {"not/../a tag": "x"})
    with (
        mlflow_server.active(),
        pytest.raises(SourceUnavailableError, match="the registry at http"),
    ):
        client.tag(request)
