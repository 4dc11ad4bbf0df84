"""Where a version's artifacts are listed and fetched from; runs in registry processes alone.

By what MLflow's client has below its URIs, where those can't say it: a name with an '@', a '?' or a
'#' means something else in a `models:/` URI than it does in the registry.
"""

import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from service.core.versions import ModelVersion
from service.registry.inside.faults import is_missing_endpoint


def artifact_uri(version: ModelVersion) -> str:
    """Return the URI that says in MLflow's words where a version is.

    By number where it is registered (the registry hands out the place, and the credentials for
    it), else by run or logged model, whose URI is the version's source.
    """
    if is_registered(version):
        return f"models:/{version.name}/{version.version}"
    return version.source


def is_registered(version: ModelVersion) -> bool:
    """Tell a registered version from a run's or a logged model."""
    return not (_of_run(version) or version.source == f"models:/{version.version}")


def list_all(version: ModelVersion) -> dict[str, int | None]:
    """Return each file that the artifact store lists of a version, with its size where it has one.

    One call for each folder.
    """
    repository, below = repository_of(version)
    listed: dict[str, int | None] = {}
    folders = [below]
    while folders:
        for item in list_folder(repository, folders.pop()):
            if item.is_dir:
                folders.append(item.path)
            else:
                listed[item.path.removeprefix(f"{below}/")] = item.file_size
    return listed


def list_run(run_id: str, path: str) -> list[Any]:
    """Return what a run has in a folder."""
    return list_folder(get_artifact_repository(f"runs:/{run_id}"), path)


def list_folder(repository: Any, path: str) -> list[Any]:
    """Return what a repository lists in a folder.

    A run's repository asks for the logged models of that name first, which a server before MLflow 3
    knows nothing of: there a run has its own artifacts alone. Where those are none, either, it is
    unknown what that answer meant, and it is raised.
    """
    try:
        return list(repository.list_artifacts(path))
    except MlflowException as error:
        of_run = getattr(repository, "repo", None)
        if of_run is None or not is_missing_endpoint(error):
            raise
        if listed := list(of_run.list_artifacts(path)):
            return listed
        raise


def fetch(version: ModelVersion, destination: str) -> Path:
    """Bring a version's artifacts into a folder of ours, and return the one that holds them."""
    # Never without a destination: a local artifact store would be used in place and written to.
    uri = artifact_uri(version)
    if uri == version.source or _has_own_repository():
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=destination))
    Path(destination).mkdir(parents=True, exist_ok=True)
    repository, below = repository_of(version)
    return Path(repository.download_artifacts(below, dst_path=destination))


def repository_of(version: ModelVersion) -> tuple[Any, str]:
    """Return what lists and fetches a version's artifacts, and the folder within it."""
    uri = artifact_uri(version)
    if _of_run(version):
        # Below the run itself: a listing that starts deeper names its files in two ways.
        run_id, _, below = uri.removeprefix("runs:/").strip("/").partition("/")
        return get_artifact_repository(f"runs:/{run_id}"), below
    if uri == version.source or _has_own_repository():
        return get_artifact_repository(uri), ""
    place = mlflow.MlflowClient().get_model_version_download_uri(version.name, version.version)
    return get_artifact_repository(place), ""


def _of_run(version: ModelVersion) -> bool:
    return version.source.startswith(f"runs:/{version.version}/")


def _has_own_repository() -> bool:
    """Whether the registry is one of those that fetch by URI alone, and hand out credentials."""
    return str(mlflow.get_registry_uri()).startswith(("databricks", "uc:"))
