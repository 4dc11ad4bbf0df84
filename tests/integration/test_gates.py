"""Each gate stops what it is there for, while the incumbent answers, and says why."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.python_models import HANGS, NOT_FINITE, PICKY, RAISES
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService, start

ALIAS = "live"
GATES = ["artifacts", "environment", "load", "contract", "smoke", "speed", "predictors"]
ONE = pd.DataFrame({"a": [1.0, 2.0]})
ANSWER = pd.DataFrame({"y": [1.0, 2.0]})


@dataclass
class Gated:
    """A service that follows one model, and the model."""

    server: MlflowServer
    service: RunningService
    name: str

    def promote(
        self,
        *,
        takes: pd.DataFrame = ONE,
        gives: pd.DataFrame = ANSWER,
        example: pd.DataFrame | None = None,
        needs: tuple[str, ...] = ("mlflow",),
        **config: object,
    ) -> str:
        """Register one more version of the picky model, and move the pointer to it."""
        defaults = {"raises": RAISES, "not_finite": NOT_FINITE, "hangs": HANGS}
        with self.server.active() as mlflow:
            version = self.server.register(
                self.name,
                mlflow.pyfunc.log_model,
                python_model=str(PICKY),
                model_config={**defaults, **config},
                signature=mlflow.models.infer_signature(takes, gives),
                input_example=example,
                pip_requirements=list(needs),
            )
        self.server.set_alias(self.name, ALIAS, version)
        return version

    def reload(self) -> Any:
        """Look at the registry now."""
        return self.service.post("/reload-model")

    def verdicts(self, version: str) -> list[dict[str, Any]]:
        """Return the verdicts on a version, as `/model/info` has them."""
        promotions = self.service.info()["promotions"]
        told: list[dict[str, Any]] = next(
            promotion["verdicts"] for promotion in promotions if promotion["version"] == version
        )
        return told


@pytest.fixture(scope="module")
def strict(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gated]:
    """Serve the tiny model, and let nothing pass that differs."""
    folder = tmp_path_factory.mktemp("strict")
    yield from serve(mlflow_server, folder, on_mismatch="refuse")


@pytest.fixture(scope="module")
def lenient(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gated]:
    """Serve the tiny model, and let pass what is meant."""
    folder = tmp_path_factory.mktemp("lenient")
    yield from serve(mlflow_server, folder, on_contract_change="allow")


def serve(server: MlflowServer, folder: Path, **settings: str) -> Iterator[Gated]:
    """Serve the tiny model, which has an example."""
    name = unique_name("gated")
    server.set_alias(name, ALIAS, server.register_tiny(name))
    chosen: dict[str, Any] = {"model_uri": f"models:/{name}@{ALIAS}", **settings}
    with start(folder, server.uri, **chosen) as service:
        yield Gated(server, service, name)


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "a package that is not installed": (
        "environment",
        {"needs": ("mlflow", "no-such-thing==9.1")},
        "no-such-thing ==9.1 wanted, none found",
    ),
    "a model that does not load": ("load", {"load_fault": "no table"}, "ValueError: no table"),
    "a new input that callers do not send": (
        "contract",
        {"takes": ONE.assign(b=["x", "y"])},
        "input b (string) is new and required",
    ),
    "an output that callers read": (
        "contract",
        {"gives": ANSWER.rename(columns={"y": "z"})},
        "output y is gone (there are z)",
    ),
    "no finite answer to the incumbent's example": (
        "smoke",
        {"not_finite": 2.0},
        "row 1 of the incumbent's input example is not finite",
    ),
    "an error on the incumbent's example": ("smoke", {"raises": 1.0}, "ValueError"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_version_never_goes_live(strict: Gated, what: str) -> None:
    """It is refused by the right gate, its reason shows, and the incumbent answers meanwhile."""
    gate, faults, reason = BAD[what]
    incumbent = strict.service.info()["model_version"]
    version = strict.promote(**faults)
    with ThreadPoolExecutor(1) as aside:
        reloading = aside.submit(strict.reload)
        answers = 0
        while not reloading.done():
            answer = strict.service.predict({"a": 3.0}).raise_for_status().json()
            assert (answer["model_version"], answer["predictions"]) == (incumbent, [{"y": 3.0}])
            answers += 1
    assert answers
    refused = reloading.result()
    assert refused.status_code == 409, refused.text
    verdicts = refused.json()["verdicts"]
    assert [verdict["gate"] for verdict in verdicts] == GATES[: GATES.index(gate) + 1]
    assert [verdict["outcome"] for verdict in verdicts][-1] == "refuse"
    assert reason in verdicts[-1]["reason"]
    assert strict.verdicts(version) == verdicts
    assert strict.service.get("/health").json()["model_version"] == incumbent


def test_a_version_without_an_example_is_tried_on_the_incumbents_and_told(strict: Gated) -> None:
    """Every gate tells what it found, and the speed stands beside the incumbent's."""
    incumbent = strict.service.info()["model_version"]
    version = strict.promote(gives=ANSWER.assign(more=1.0), takes=ONE, factor=1.0)
    # The picky model gives y alone: what it promises beside that is a lie, and found.
    assert strict.reload().status_code == 409
    assert "wanted were y, more" in strict.verdicts(version)[-1]["reason"]

    version = strict.promote(factor=1.0)
    assert strict.reload().json()["model_version"] == version
    told = {verdict["gate"]: verdict for verdict in strict.verdicts(version)}
    assert list(told) == GATES
    # The version that serves answers by pyfunc, so no faster predictors are waited for.
    assert told.pop("predictors")["outcome"] == "skip"
    assert {verdict["outcome"] for verdict in told.values()} == {"pass"}
    assert "files, " in told["artifacts"]["reason"]
    assert "installed" in told["environment"]["reason"]
    assert f"callers of version {incumbent} miss nothing" in told["contract"]["reason"]
    assert "the incumbent's input example" in told["smoke"]["reason"]
    assert "requests are batched" in told["smoke"]["reason"]
    assert f"(version {incumbent}: " in told["speed"]["reason"]
    assert strict.service.predict({"a": 3.0}).json()["predictions"] == [{"y": 3.0}]


def test_what_is_meant_goes_live_and_is_named_all_the_same(lenient: Gated) -> None:
    """With ON_MISMATCH=warn and ON_CONTRACT_CHANGE=allow."""
    version = lenient.promote(
        takes=ONE.assign(b=["x", "y"]), needs=("mlflow", "no-such-thing==9.1"), factor=2.0
    )
    assert lenient.reload().json()["model_version"] == version
    told = {verdict["gate"]: verdict["reason"] for verdict in lenient.verdicts(version)}
    assert "warning: no-such-thing ==9.1 wanted, none found" in told["environment"]
    assert "input b (string) is new and required" in told["contract"]
    assert lenient.service.predict({"a": 3.0}).status_code == 400
    answer = lenient.service.predict({"a": 3.0, "b": "x"}).json()
    assert (answer["model_version"], answer["predictions"]) == (version, [{"y": 6.0}])
    # Its callers send b, which a version without it ignores; and there is no example any more.
    version = lenient.promote(factor=3.0)
    assert lenient.reload().json()["model_version"] == version
    told = {verdict["gate"]: verdict["reason"] for verdict in lenient.verdicts(version)}
    assert "an example made up from its signature" in told["smoke"]
    assert lenient.service.predict({"a": 3.0, "b": "x"}).json()["predictions"] == [{"y": 9.0}]
