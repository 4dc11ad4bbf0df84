"""What a fuzz run counts: cases by outcome for each target, and faults with how to repeat them."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import NamedTuple, Protocol

_TOLD_OF_A_KIND = 5
"""Faults of one target and one exception that are told; all are counted."""


class Target(Protocol):
    """Something that is given nonsense, one case after another."""

    name: str

    def run(self, rng: Random) -> str:
        """Run one case, made of `rng` alone; return its outcome, raise whatever is a fault."""
        ...

    def settle(self) -> None:
        """Look at what shows only after some cases, and raise where that is a fault."""
        ...


class Fault(NamedTuple):
    """A case that went wrong."""

    target: str
    case: int
    what: str


class Tally:
    """Runs cases of targets and counts what came of them."""

    def __init__(self, seed: int, say: Callable[[str], None]) -> None:
        self._seed = seed
        self._say = say
        self.cases: dict[str, int] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.outcomes: dict[str, Counter[str]] = {}
        self.faults: list[Fault] = []
        self._kinds: Counter[Fault] = Counter()

    def run(self, target: Target, case: int) -> None:
        """Run the case of that number; the same seed and number make the same case."""
        with self._faults_of(target.name, case):
            outcome = target.run(Random(f"{self._seed} {target.name} {case}"))
            self.outcomes.setdefault(target.name, Counter())[outcome] += 1
        self.cases[target.name] = self.cases.get(target.name, 0) + 1

    def settle(self, target: Target) -> None:
        """Have a target look at what shows only now; a fault is told with the last case."""
        with self._faults_of(target.name, self.cases.get(target.name, 0) - 1):
            target.settle()

    def table(self) -> str:
        """Return the counts as a table of Markdown."""
        lines = ["| target | cases | seconds | outcomes | faults |", "|---|---|---|---|---|"]
        for name, cases in self.cases.items():
            outcomes = ", ".join(
                f"{outcome} {count}" for outcome, count in self.outcomes[name].most_common(12)
            )
            faults = sum(fault.target == name for fault in self.faults)
            lines.append(f"| {name} | {cases} | {self.seconds[name]:.0f} | {outcomes} | {faults} |")
        return "\n".join(lines)

    @contextmanager
    def _faults_of(self, target: str, case: int) -> Iterator[None]:
        self.outcomes.setdefault(target, Counter())
        begun = time.monotonic()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            fault = Fault(target, case, f"{type(error).__name__}: {str(error)[:1500]}")
            self.faults.append(fault)
            alike = Fault(target, 0, type(error).__name__)
            self._kinds[alike] += 1
            if self._kinds[alike] <= _TOLD_OF_A_KIND:
                self._say(self._told(fault))
        finally:
            self.seconds[target] += time.monotonic() - begun

    def _told(self, fault: Fault) -> str:
        again = (
            f"python -m tests.fuzz --seed {self._seed} --only {fault.target} --case {fault.case}"
        )
        return f"FAULT {fault.target} {fault.case}: {fault.what}\n  repeat: {again}"
