import msgspec
import pytest

from service.settings.deployment import DeploymentSettings
from service.watcher.gates.chain import gate_chain
from service.watcher.gates.environment import EnvironmentGate
from tests.support.fake_models import no_description


@pytest.mark.parametrize(
    ("compiled", "wait_s", "waited_s"), [("auto", 0, 0), ("auto", 2.5, 2.5), ("off", 2.5, 0)]
)
def test_compiled_predictors_are_waited_for_where_there_may_be_some(
    compiled: str, wait_s: float, waited_s: float
) -> None:
    """Compiling delays no promotion where COMPILED_WAIT_S is 0."""
    settings = msgspec.structs.replace(
        DeploymentSettings(), compiled=compiled, compiled_wait_s=wait_s
    )
    assert gate_chain(settings, no_description).compiled_wait_s == waited_s


def test_signatures_are_looked_at_before_anything_else_reads_the_files() -> None:
    """Where they are asked for."""
    asked = EnvironmentGate("warn", no_description)
    chain = gate_chain(DeploymentSettings(), no_description, asked)
    assert chain.of_files[1] is asked


def test_what_refuses_early_spares_the_rest() -> None:
    """The cheapest gates come first; those of a version's files need no process of its own."""
    chain = gate_chain(DeploymentSettings(), no_description)
    assert [gate.name for gate in chain.of_files] == ["artifacts", "environment"]
    assert [gate.name for gate in chain.of_model] == ["contract", "smoke", "speed"]
