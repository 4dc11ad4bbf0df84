"""Versions of a model that want one library in different versions, and an index that has them."""

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from tools.made_packages import make_lending_wheel, make_wheel
from tools.mlflow_server import MlflowServer, unique_name
from tools.package_index import PackageIndex, package_index

LIBRARY = "lib-that-tells"
LENT = ("mlflow", "msgspec")
"""What models need besides; it is imported where it is installed, so that nothing is downloaded."""
_CODE = Path(__file__).with_name("telling_model.py")


@contextmanager
def offered(folder: Path, *versions: str) -> Iterator[PackageIndex]:
    """Run an index that has the library in these versions, and what models need besides."""
    folder.mkdir()
    for name in LENT:
        make_lending_wheel(folder, name, importlib.metadata.version(name))
    for version in versions:
        make_wheel(folder, LIBRARY, version)
    with package_index(folder) as index:
        yield index


def variables_for(index: PackageIndex) -> dict[str, str]:
    """Return what has a service build from this index alone, with the Pythons that there are."""
    return {
        "uv_default_index": index.url,
        "uv_python_downloads": "never",
        "uv_http_retries": "0",
    }


def register(server: MlflowServer, *versions: str, stem: str = "told") -> str:
    """Register a model with a version for each of the library's; return its name."""
    name = unique_name(stem)
    for version in versions:
        register_one(server, name, [f"{LIBRARY}=={version}"])
    return name


def register_one(server: MlflowServer, name: str, requirements: list[str]) -> str:
    """Register a version that wants these besides MLflow; return its number."""
    frame = pd.DataFrame({"a": [1.0], "y": [1.0]})
    with server.active() as mlflow:
        return server.register(
            name,
            mlflow.pyfunc.log_model,
            python_model=str(_CODE),
            signature=mlflow.models.infer_signature(frame[["a"]], frame[["y"]]),
            pip_requirements=[*requirements, f"mlflow=={importlib.metadata.version('mlflow')}"],
        )
