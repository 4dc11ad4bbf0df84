"""Kubernetes' and KServe's manifests: each against its schema, and against the service."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError

from service.processes.exit_limit import limit_of_end
from service.settings.environment import load_settings
from service.telemetry.metrics.families import FAMILIES
from tests.support.dockerfile import instructions, stages, variables
from tests.support.grafana import metrics_of
from tests.support.manifests import (
    DEPLOY,
    ROOT,
    Manifest,
    containers,
    is_patch,
    manifests,
    one,
    validate,
    walk,
)
from tests.support.own_names import commands, routes, unknown

EVERY = manifests()
DEPLOYMENT = one("kubernetes/base/deployment.yaml")
POD = DEPLOYMENT["spec"]["template"]
CONFIG = dict(
    literal.split("=", 1)
    for literal in one("kubernetes/base/kustomization.yaml")["configMapGenerator"][0]["literals"]
)
IMAGE = stages(instructions((ROOT / "Dockerfile").read_text("utf-8")))[-1]


def name_of(manifest: Manifest) -> str:
    """Name a case."""
    return manifest.file.relative_to(DEPLOY).as_posix()


def environment(container: dict[str, Any]) -> dict[str, str]:
    """Return the variables that a container sets itself."""
    return {each["name"]: each.get("value", "") for each in container.get("env", [])}


@pytest.mark.parametrize("manifest", [each for each in EVERY if not is_patch(each)], ids=name_of)
def test_it_is_as_its_schema_has_it(manifest: Manifest) -> None:
    """Every field is known, and of the right type."""
    validate(manifest.resource)


@pytest.mark.parametrize("kind", sorted({each.resource["kind"] for each in EVERY}))
def test_a_schema_refuses_what_it_does_not_know(kind: str) -> None:
    """A field that was mistyped is found, in each kind."""
    [resource, *_] = [
        each.resource for each in EVERY if each.resource["kind"] == kind and not is_patch(each)
    ]
    wrong = copy.deepcopy(resource)
    place = wrong.get("spec", wrong)
    place["mistyped"] = 1
    with pytest.raises((ValidationError, AssertionError)):
        validate(wrong)


@pytest.mark.parametrize("manifest", EVERY, ids=name_of)
def test_a_kustomization_names_files_that_exist(manifest: Manifest) -> None:
    """Resources and patches are there, and each file of the folder is one of them."""
    if manifest.resource["kind"] != "Kustomization":
        return
    folder = manifest.file.parent
    named = {*manifest.resource["resources"]}
    named |= {patch["path"] for patch in manifest.resource.get("patches", [])}
    assert [name for name in named if not (folder / name).exists()] == []
    examples = {"adapter-rules.yaml", "inferenceservice.yaml", "kustomization.yaml"}
    assert {file.name for file in folder.glob("*.yaml")} - examples <= named


@pytest.mark.parametrize("manifest", EVERY, ids=name_of)
def test_what_a_container_names_is_the_services_own(manifest: Manifest) -> None:
    """Its variables are settings, its arguments commands, its probes paths that answer."""
    for container in containers(manifest.resource):
        assert unknown(set(environment(container))) == set()
        if container.get("image") != "mlflow-hotswap":
            continue
        called = [*container.get("command", ["hotswap"])[1:], *container.get("args", [])]
        assert called[0] in commands()
        for key, value in walk(container):
            if key == "httpGet":
                assert ("GET", value["path"]) in routes()
                ports = {each["name"]: each["containerPort"] for each in container["ports"]}
                assert value["port"] in {*ports, *ports.values()}
                assert (
                    str(ports.get(value["port"], value["port"])) == environment(container)["PORT"]
                )


def test_the_settings_of_the_pod_are_taken() -> None:
    """The service would start with them."""
    [container] = POD["spec"]["containers"]
    assert unknown(set(CONFIG)) == set()
    settings = load_settings({**CONFIG, **environment(container)})
    assert settings.service.host == "0.0.0.0"  # noqa: S104 - as in a container


def test_a_pod_has_the_time_to_drain() -> None:
    """The grace period covers preStop, both drains and what follows them."""
    settings = load_settings(CONFIG)
    [container] = POD["spec"]["containers"]
    pre_stop_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed_s = limit_of_end(settings.service.drain_lead_s, settings.drain_timeout_s)
    assert POD["spec"]["terminationGracePeriodSeconds"] >= pre_stop_s + needed_s


def test_everything_means_the_same_pods() -> None:
    """Service, budget, policy, monitor and autoscaler select what the Deployment makes."""
    labels = POD["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    base = "kubernetes/base"
    assert one(f"{base}/service.yaml")["spec"]["selector"] == labels
    assert one(f"{base}/poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert one(f"{base}/networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"] == labels
    # A monitor selects services.
    monitor = one("kubernetes/monitoring/servicemonitor.yaml")["spec"]
    service = one(f"{base}/service.yaml")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    target = one("kubernetes/autoscaling/horizontalpodautoscaler.yaml")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", DEPLOYMENT["metadata"]["name"])


def test_ports_are_found_by_their_names() -> None:
    """Service, policy and monitor name the container's port."""
    [container] = POD["spec"]["containers"]
    ports = {each["name"] for each in container["ports"]}
    [served] = one("kubernetes/base/service.yaml")["spec"]["ports"]
    policy = one("kubernetes/base/networkpolicy.yaml")["spec"]
    [endpoint] = one("kubernetes/monitoring/servicemonitor.yaml")["spec"]["endpoints"]
    assert served["targetPort"] in ports
    assert {port["port"] for port in policy["ingress"][0]["ports"]} <= ports
    assert endpoint["port"] == served["name"]
    assert ("GET", endpoint["path"]) in routes()


@pytest.mark.parametrize("manifest", EVERY, ids=name_of)
def test_it_runs_as_the_image_does(manifest: Manifest) -> None:
    """As the image's user where one is set, and writing to the image's volume alone."""
    [user] = [each.text.split(":")[0] for each in IMAGE if each.name == "USER"]
    users = {value for key, value in walk(manifest.resource) if key == "runAsUser"}
    assert users <= {int(user)}
    for container in containers(manifest.resource):
        for mount in container.get("volumeMounts", []):
            assert variables(IMAGE)["CACHE_DIR"].startswith(f"{mount['mountPath']}/")
        if container.get("securityContext", {}).get("readOnlyRootFilesystem"):
            assert container["volumeMounts"]


def test_the_autoscalers_metric_is_made_of_the_services() -> None:
    """The adapter's rules give the name that is asked for, from metrics that are shown."""
    rules = yaml.safe_load(
        (DEPLOY / "kubernetes/autoscaling/adapter-rules.yaml").read_text("utf-8")
    )
    [rule] = rules["rules"]["custom"]
    [metric] = one("kubernetes/autoscaling/horizontalpodautoscaler.yaml")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    known = {family.name for family in FAMILIES}
    asked = f"{rule['seriesQuery']} {rule['metricsQuery']}"
    named = {name for found in re.findall(r"hotswap_\w+", asked) for name in metrics_of(found)}
    assert named == {"hotswap_queue_seconds"} <= known


@pytest.mark.parametrize("folder", ["kubernetes", "kserve"])
def test_the_readme_says_what_was_run(folder: str) -> None:
    """And what was not."""
    text = Path(DEPLOY / folder / "README.md").read_text("utf-8")
    assert "## What was run and what was not" in text
