"""What it costs to count a request, and to write a scrape of many models: `bench.observing`."""

import asyncio
import time
import timeit
from collections.abc import Callable

from service.core.events import PromotionOutcome, Trigger
from service.core.protocols import WireProtocol
from service.core.verdicts import Outcome, Verdict
from service.core.versions import ModelVersion
from service.telemetry.fan_out import fan_out
from service.telemetry.log_observer import LogObserver
from service.telemetry.metrics.exposition import exposition
from service.telemetry.metrics.gauges import ModelGauges, ServingGauges
from service.telemetry.metrics.metrics import Metrics
from service.telemetry.observer import Observer

_CALLS = 200_000
_MODELS = 50
_VERSIONS = 3
_SCRAPES = 5
_STEPS = ("fetch", "load", "gates", "swap", "drain")
_GATES = ("artifacts", "environment", "load", "contract", "smoke", "speed", "predictors")


async def main() -> None:
    """Print both."""
    for detailed in (False, True):
        _print_costs(detailed=detailed)
    metrics = _many()
    for _ in range(_SCRAPES):
        began_s = time.perf_counter()
        snapshot = await metrics.snapshot()
        copied_s = time.perf_counter()
        written = exposition(snapshot, "", may_gzip=True)
        ended_s = time.perf_counter()
        print(
            f"{_MODELS} models of {_VERSIONS} versions: {(copied_s - began_s) * 1e3:.1f} ms on "
            f"the loop, {(ended_s - copied_s) * 1e3:.0f} ms in a thread, {len(written.body)} bytes"
        )


def _print_costs(*, detailed: bool) -> None:
    """Print what each event of a request costs, with other servers' names or without."""
    version, protocol = _version(1), WireProtocol.NATIVE
    counting = Metrics(list, detailed=detailed).observer("m")
    observer = fan_out([LogObserver("m"), counting])

    def answered() -> None:
        observer.request_answered(version, protocol, 1, 0.0013)
        observer.request_detailed(version, 0.0013, 0.0001, 0.0001, 0, 1)

    def batch() -> None:
        observer.batch_ended(version, 1, 1, 0.0002, 0.0011)

    names = "with other servers' names" if detailed else "our own names alone"
    for name, told in (("an answer", answered), ("a batch", batch)):
        print(f"{name}, {names}: {_us(told):.2f} microseconds")


def _us(told: Callable[[], None]) -> float:
    return min(timeit.repeat(told, number=_CALLS, repeat=5)) / _CALLS * 1e6


def _many() -> Metrics:
    serving = ServingGauges(
        version="1",
        digest="d" * 64,
        run_id="r" * 32,
        python="3.11.9",
        predictor="compiled",
        pending=0,
        unanswered=1,
        workers_wanted=2,
        workers={"idle": 1, "busy": 1, "held": 0, "silent": 0},
    )
    names = [f"model-{number}" for number in range(_MODELS)]
    versions = [_version(number) for number in range(1, _VERSIONS + 1)]
    gauges = [
        ModelGauges(
            name=name,
            ready=True,
            promoted="1",
            pinned=None,
            registry_age_s=1.0,
            failed_passes=0,
            serving=serving,
            live=frozenset(version.version for version in versions),
        )
        for name in names
    ]
    metrics = Metrics(lambda: gauges)
    for name in names:
        observer = metrics.observer(name)
        for version in versions:
            _tell(observer, version)
    return metrics


def _tell(observer: Observer, version: ModelVersion) -> None:
    observer.promotion_began(version, Trigger.POLL)
    for step in _STEPS:
        observer.step_ended(version, step, 0.5)
    for gate in _GATES:
        observer.gate_ended(version, Verdict(gate, Outcome.PASS, "", 0.1))
    observer.worker_ready(version, 1.0)
    observer.promotion_ended(version, PromotionOutcome.SERVING, "")
    for rows in range(50):
        observer.request_answered(version, WireProtocol.NATIVE, rows, rows / 1000)
        observer.batch_ended(version, 1, rows, rows / 1000, rows / 1000)


def _version(number: int) -> ModelVersion:
    return ModelVersion("registry", "model", str(number), "", "", 0)


if __name__ == "__main__":
    asyncio.run(main())
