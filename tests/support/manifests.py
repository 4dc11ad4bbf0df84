"""The manifests of deploy/, each as its schema and the service are asked about it."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = "1.32"
"""The schemas' version; the manifests say which is the oldest that has all of it."""
_SCHEMAS = ROOT / "tests" / "deploy" / "schemas"
_NOT_APPLIED = frozenset({"adapter-rules.yaml"})
"""Values of a chart, which no cluster gets as they are."""
_OF_KSERVE = {
    "ClusterServingRuntime": "V1alpha1ClusterServingRuntime",
    "ClusterStorageContainer": "V1alpha1ClusterStorageContainer",
    "InferenceService": "V1beta1InferenceService",
}
_KUSTOMIZE_KEYS = frozenset(
    {"apiVersion", "kind", "resources", "patches", "configMapGenerator", "images"}
)


class Manifest(NamedTuple):
    """One resource, and the file that it stands in."""

    file: Path
    resource: dict[str, Any]


def manifests() -> list[Manifest]:
    """Return each resource of deploy/kubernetes and deploy/kserve."""
    found = []
    for file in sorted([*DEPLOY.glob("kubernetes/**/*.yaml"), *DEPLOY.glob("kserve/*.yaml")]):
        if file.name not in _NOT_APPLIED:
            found += [Manifest(file, each) for each in yaml.safe_load_all(file.read_text("utf-8"))]
    return found


def one(name: str) -> dict[str, Any]:
    """Return the only resource of a file of deploy/."""
    resource: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text("utf-8"))
    return resource


def is_patch(manifest: Manifest) -> bool:
    """Whether it is what an overlay changes of another one."""
    folder = manifest.file.parent / "kustomization.yaml"
    patches = yaml.safe_load(folder.read_text("utf-8")).get("patches", [])
    return manifest.file.name in {patch["path"] for patch in patches}


def validate(resource: dict[str, Any]) -> None:
    """Raise where a resource is not as its schema has it."""
    kind = resource["kind"]
    if kind == "Kustomization":
        assert resource.keys() <= _KUSTOMIZE_KEYS, resource.keys()
    elif kind == "ServiceMonitor":
        Draft202012Validator(_schema("servicemonitor.json")).validate(resource)
    elif kind in _OF_KSERVE:
        registry: Registry[Any] = Resource.from_contents(_definitions()) @ Registry()
        schema = {**_schema("kserve.json"), "$ref": f"#/$defs/{_OF_KSERVE[kind]}"}
        Draft202012Validator(schema, registry=registry).validate(resource)
    else:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)


@cache
def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((_SCHEMAS / name).read_text("utf-8"))
    return schema


@cache
def _definitions() -> Any:
    folder = f"kubernetes-json-schema/v{KUBERNETES}.0-local-strict"
    return schema_contents(f"{folder}/_definitions.json", KUBERNETES)


def containers(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return every container of a resource, whatever it is."""
    for key, value in walk(resource):
        if key in {"containers", "initContainers"}:
            yield from value
        elif key == "container":
            yield value
    if resource["kind"] == "InferenceService":
        yield resource["spec"]["predictor"]["model"]


def walk(node: Any) -> Iterator[tuple[str, Any]]:
    """Return each key of a document with its value, however deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)
