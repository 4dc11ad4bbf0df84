"""The Terraform files, without a cloud: they parse, nothing hangs loose, and the service is met."""

import re
from typing import Any

import yaml

from service.processes.exit_limit import limit_of_end
from service.settings.environment import load_settings
from tests.support.dockerfile import instructions, stages, variables
from tests.support.manifests import DEPLOY, ROOT
from tests.support.own_names import commands, routes, unknown
from tests.support.terraform import Terraform

FILES = Terraform(DEPLOY / "azure")
APP = FILES.resource("azurerm_container_app")
[TEMPLATE] = APP["template"]
SERVICE, COLLECTOR = TEMPLATE["container"]
LOCALS: dict[str, Any] = {
    name: value for block in FILES.blocks("locals") for name, value in block.items()
}
VARIABLES: dict[str, Any] = {
    name: said for block in FILES.blocks("variable") for name, said in block.items()
}
IMAGE = stages(instructions((ROOT / "Dockerfile").read_text("utf-8")))[-1]


def test_nothing_is_declared_for_nothing() -> None:
    """Each variable and local is used."""
    kinds = ("var.", "local.")
    declared = {name for name in FILES.declared() if name.startswith(kinds)}
    assert len(declared) > 15
    assert declared - FILES.referred() == set()


def test_what_is_referred_to_is_declared() -> None:
    """A name that was mistyped is found."""
    assert len(FILES.referred()) > 20
    assert FILES.referred() - FILES.declared() == set()


def test_each_variable_says_what_it_is() -> None:
    """By a description, and secrets are marked as such."""
    assert [name for name, said in VARIABLES.items() if not said.get("description")] == []
    secret = {name for name in VARIABLES if name.endswith(("_token", "_secret"))}
    assert {name for name, said in VARIABLES.items() if said.get("sensitive")} == secret


def test_what_the_service_is_told_are_settings() -> None:
    """Each variable is read, secrets come from the app's secrets, and the service would start."""
    settings, secrets = LOCALS["settings"], LOCALS["secrets"]
    assert unknown({*settings, *secrets}) == set()
    named = {secret["name"] for secret in APP["secret"]}
    assert set(secrets.values()) <= named
    used = {entry["secret_name"] for entry in COLLECTOR["env"] if "secret_name" in entry}
    assert {*secrets.values(), *used} == named
    fixed = {name: value for name, value in settings.items() if "${" not in str(value)}
    started = load_settings(
        {**fixed, "DRAIN_TIMEOUT_S": str(VARIABLES["drain_timeout_s"]["default"])}
    )
    assert str(started.service.cache_dir).startswith(f"{SERVICE['volume_mounts'][0]['path']}/")
    assert started.service.cache_dir.as_posix() == variables(IMAGE)["CACHE_DIR"]


def test_the_ingress_and_the_probes_meet_the_service() -> None:
    """At its port, by paths that it answers, and by one of its commands."""
    assert str(LOCALS["port"]) == variables(IMAGE)["PORT"]
    assert APP["ingress"][0]["target_port"] == "${local.port}"
    assert set(SERVICE["args"]) <= commands()
    for kind in ("startup_probe", "liveness_probe", "readiness_probe"):
        [probe] = SERVICE[kind]
        assert ("GET", probe["path"]) in routes()
        assert probe["port"] == "${local.port}"


def test_a_replica_always_runs() -> None:
    """One is the least, and the least that may be set."""
    said = VARIABLES["min_replicas"]
    assert said["default"] == 1
    assert ">= 1" in said["validation"][0]["condition"]
    assert TEMPLATE["min_replicas"] == "${var.min_replicas}"


def test_a_replica_has_the_time_to_drain() -> None:
    """Whatever DRAIN_TIMEOUT_S is."""
    found = re.search(
        r"termination_grace_period_seconds\s*=\s*(\d+) \* var\.drain_timeout_s \+ (\d+)",
        "\n".join(FILES.files.values()),
    )
    assert found is not None
    factor, more = map(int, found.groups())
    for drain_s in (1, 30, 200):
        assert factor * drain_s + more >= limit_of_end(0, drain_s)


def test_the_collector_listens_where_the_service_sends() -> None:
    """Its pipelines name what is declared, and its secret is the app's."""
    config = yaml.safe_load((DEPLOY / "azure" / "collector.yaml").read_text("utf-8"))
    endpoint = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert LOCALS["settings"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://{endpoint}"
    for pipeline in config["service"]["pipelines"].values():
        for part, names in pipeline.items():
            assert set(names) <= config[part].keys()
    [name] = re.findall(
        r"\$\{env:(\w+)\}", config["exporters"]["azuremonitor"]["connection_string"]
    )
    assert name in {entry["name"] for entry in COLLECTOR["env"]}
    assert COLLECTOR["args"] == ["--config=env:COLLECTOR_CONFIG"]
