"""A rollout's step in which a candidate is proved, before requests may come to it."""

import time
from collections.abc import Callable, Sequence

from service.core.versions import StoredVersion
from service.serving.model import LoadedModel
from service.serving.proof import Proof
from service.watcher.activation import COMPILED, wait_for_compiled
from service.watcher.gates.chain import GateChain
from service.watcher.gates.gate import FilesGate, ModelGate
from service.watcher.verdict_log import VerdictLog
from service.workers.messages import Timing

Serving = Callable[[], LoadedModel | None]
"""Returns what serves now."""


async def check_files(
    gates: Sequence[FilesGate], stored: StoredVersion, verdicts: VerdictLog
) -> None:
    """Pass a version on disk through these gates. Raise RefusedError where one refuses it."""
    for gate in gates:
        started = time.monotonic()
        found = await gate.check(stored)
        verdicts.add(gate.name, found, time.monotonic() - started)


async def prove(
    chain: GateChain, candidate: LoadedModel, serving: Serving, verdicts: VerdictLog
) -> Proof:
    """Return what opens a loaded version to traffic.

    Raise RefusedError where a gate refuses it. What serves on return is what the version was
    compared with.
    """
    proving = Proving(chain.of_model, candidate, serving, verdicts)
    proof = await proving.complete()
    if chain.compiled_wait_s:
        started = time.monotonic()
        found = await wait_for_compiled(candidate, serving(), chain.compiled_wait_s)
        verdicts.add(COMPILED, found, time.monotonic() - started)
        proof = await proving.complete()
    return proof


class Proving:
    """The proof of one loaded version, as it grows."""

    def __init__(
        self,
        gates: Sequence[ModelGate],
        candidate: LoadedModel,
        serving: Serving,
        verdicts: VerdictLog,
    ) -> None:
        self._gates = gates
        self._candidate = candidate
        self._serving = serving
        self._verdicts = verdicts
        self._compared_with: dict[str, LoadedModel | None] = {}
        """The model that served when a gate began, by the gate's name."""
        self._row_wise = False
        self._timings: tuple[Timing, ...] = ()
        self._example = b""

    async def complete(self) -> Proof:
        """Pass the gates that are not passed yet, and return the proof.

        Gates that compared the version with what serves check it again where another version
        serves when all have passed it: after the last of them nothing is awaited.
        """
        while (gate := self._next()) is not None:
            incumbent = self._compared_with[gate.name] = self._serving()
            started = time.monotonic()
            found = await gate.check(self._candidate, incumbent)
            if found.row_wise is not None:
                self._row_wise = found.row_wise
            if found.timings is not None:
                self._timings = found.timings
            if found.example is not None:
                self._example = found.example
            self._verdicts.add(gate.name, found, time.monotonic() - started)
        log = self._verdicts
        return Proof(log.verdicts, self._row_wise, self._timings, self._example, log.signed_by)

    def _next(self) -> ModelGate | None:
        """Return the first gate that is still to be passed, None where all of them are."""
        for gate in self._gates:
            if gate.name not in self._compared_with:
                return gate
        now = self._serving()
        for gate in self._gates:
            if gate.compares and self._compared_with[gate.name] is not now:
                return gate
        return None
