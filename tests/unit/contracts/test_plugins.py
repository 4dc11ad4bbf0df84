"""Contracts that teams have written, found by the entry points of what is installed."""

import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from service.codecs.places import in_columns
from service.contracts import plugins
from service.contracts.archive_forecast import ArchiveForecastContract
from service.contracts.choose import contract_for
from service.contracts.compatibility import differences
from service.contracts.contract import Call, Contract
from service.contracts.derived import DerivedContract
from service.contracts.ruled import RuledContract
from service.core.errors import ContractViolationError, SignatureError
from tests.support import documented_contract
from tests.support.envelopes import decoded

ROOT = Path(__file__).parents[3]
SIGNATURE: dict[str, Any] = {
    "inputs": [
        {"name": name, "type": "double", "required": True}
        for name in ("total_so2", "alcohol", "sugar", "free_so2")
    ],
    "outputs": [{"type": "double", "name": "quality"}],
}
GOOD = {"alcohol": 12.5, "free_so2": 20, "total_so2": 30, "sugar": -1}
UNRULED = {"alcohol": 12.5, "free_so2": 40, "total_so2": 30, "sugar": 2}


@pytest.fixture(autouse=True)
def nothing_is_known_before() -> Iterator[None]:
    """Look anew at what is installed, and leave no trace."""
    for known in (plugins.loaded, plugins.installed):
        known.cache_clear()
    yield
    for known in (plugins.loaded, plugins.installed):
        known.cache_clear()
    sys.modules.pop("wine_rules", None)


def installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, code: str = "", value: str = ""
) -> Contract:
    """Install a contract for the model `wine`, and return what is found for it."""
    monkeypatch.syspath_prepend(
        str(documented_contract.install(tmp_path / "site", code=code, value=value))
    )
    return contract_for("wine", SIGNATURE, refuse_unknown=False)


def test_the_documented_example_holds_rows_to_its_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A constraint, a rule across fields, and an input without a rule; with the place of each."""
    contract = installed(tmp_path, monkeypatch)
    assert isinstance(contract, RuledContract)
    assert decoded(contract, msgspec.json.encode({"instances": [GOOD]})).rows == 1
    for row, path, expected in (
        (UNRULED, "instances[1]", "free_so2 of at most total_so2"),
        ({**GOOD, "alcohol": 101}, "instances[1].alcohol", "a number <= 100.0"),
        ({**GOOD, "alcohol": "strong"}, "instances[1].alcohol", "a number"),
    ):
        with pytest.raises(ContractViolationError) as refused:
            decoded(contract, msgspec.json.encode({"instances": [GOOD, row]}))
        assert (refused.value.path, refused.value.row) == (path, 1)
        assert refused.value.expected == expected


def test_columns_are_held_to_the_same_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As JSON and as typed columns, which Arrow bodies become."""
    contract = installed(tmp_path, monkeypatch)
    for row, path in (
        (GOOD, None),
        (UNRULED, "columns"),
        ({**GOOD, "alcohol": 101}, "columns.alcohol[1]"),
    ):
        names = [spec.name for spec in contract.inputs]
        columns = {name: [float(GOOD[name]), float(row[name])] for name in names}
        body = msgspec.json.encode({"columns": columns})
        typed = [np.array(columns[name]) for name in names]
        takes: tuple[Callable[[], Call], ...] = (
            partial(decoded, contract, body),
            partial(contract.call_of, 2, typed, None, in_columns(contract)),
        )
        for take in takes:
            if path is None:
                assert take().rows == 2
                continue
            with pytest.raises(ContractViolationError) as refused:
                take()
            assert (refused.value.path, refused.value.row) == (path, 1)


def test_rules_that_are_new_are_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers of the version before may break them; the same rules are none."""
    before = DerivedContract(SIGNATURE, refuse_unknown=False)
    ruled = installed(tmp_path, monkeypatch)
    assert differences(before, installed_again(), refuse_unknown=False) == [
        "inputs are held to the rules of WineRow, and were not"
    ]
    assert differences(ruled, installed_again()) == []


def installed_again() -> Contract:
    """Return what is found for the model `wine`."""
    return contract_for("wine", SIGNATURE, refuse_unknown=False)


@pytest.mark.parametrize(
    ("code", "value", "told"),
    [
        ("raise OSError('no luck')", "", "wine_rules:WineRow can't be imported: OSError: no luck"),
        ("raise SystemExit(3)", "", "can't be imported: SystemExit: 3"),
        ("", "wine_rules:Nothing", "can't be imported: AttributeError"),
        ("", "nowhere:Rules", "can't be imported: ModuleNotFoundError"),
        ("WineRow = 3", "", "is neither a msgspec Struct nor a function"),
        ("def WineRow(signature, refuse_unknown): return 3", "", "it made int, which is no"),
        ("def WineRow(signature, refuse_unknown): return 1 / 0", "", "it raised ZeroDivisionError"),
        ("import sys\nsys.modules['skops'] = sys\nWineRow = 3", "", "imports skops, and may"),
        (
            "import msgspec\nclass WineRow(msgspec.Struct):\n    corks: int",
            "",
            "for another model: no input corks",
        ),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, value: str, told: str
) -> None:
    """The version is refused for it; every time, and nothing else is raised."""
    # Set first: what is absent now is to be absent again afterwards.
    monkeypatch.setitem(sys.modules, "skops", sys)
    monkeypatch.delitem(sys.modules, "skops")
    with pytest.raises(SignatureError, match=told):
        installed(tmp_path, monkeypatch, code=code, value=value)
    with pytest.raises(SignatureError, match=told):
        installed_again()
    assert contract_for("another", SIGNATURE, refuse_unknown=False).inputs


def test_two_contracts_for_one_model_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of them counts would depend on the order in which they are found."""
    other = documented_contract.install(tmp_path / "other", value="wine_rules:Percent")
    (other / "wine_rules-1.0.dist-info" / "METADATA").write_text("Name: other\nVersion: 1.0\n")
    (other / "wine_rules-1.0.dist-info").rename(other / "other-1.0.dist-info")
    monkeypatch.syspath_prepend(str(other))
    with pytest.raises(SignatureError, match="several: wine_rules:Percent and wine_rules:WineRow"):
        installed(tmp_path, monkeypatch)


def test_the_service_s_own_contract_is_registered_as_any_other() -> None:
    """In pyproject.toml, which says the same as what a service that is not installed knows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    registered = project["entry-points"][plugins.GROUP]
    assert registered == {one.name: one.value for one in plugins.OWN}
    made = plugins.plugin_for("archive-forecast-rf")
    assert made is not None
    assert made.__module__ == ArchiveForecastContract.__module__


def test_where_a_contract_is_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """To a worker in another environment, in which nothing of it is installed."""
    places = plugins.places_of("archive-forecast-rf")
    assert places == ("service.contracts.archive_forecast:contract_of",)
    assert plugins.places_of("any other") == ()
    monkeypatch.setattr(plugins, "installed", dict)
    plugin = plugins.plugin_for("archive-forecast-rf", places)
    assert plugin is not None
    assert not plugins.is_row(plugin)
    assert plugins.plugin_for("archive-forecast-rf", ()) is None
    with pytest.raises(SignatureError, match="not_there:contract can't be imported"):
        contract_for("m", SIGNATURE, refuse_unknown=False, plugins=("not_there:contract",))
