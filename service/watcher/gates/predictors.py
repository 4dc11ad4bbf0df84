"""The gate that waits for compiled predictors, where the version that serves has them."""

import anyio

from service.core.verdicts import Outcome
from service.watcher.gates.gate import Candidate, Finding


class PredictorsGate:
    """What is compiled at once is taken into use before the swap, if it is ready in time.

    A new version shall not be several times slower for a moment because it is new. Where the
    version that serves answers by pyfunc, or none serves, nothing is waited for. No version is
    refused for it: one that has no such predictors, or not in time, answers by pyfunc.
    """

    name = "predictors"
    compares = False

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s

    async def check(self, candidate: Candidate) -> Finding:
        """Have its workers answer by what is ready, and tell by what they do."""
        model, compiling = candidate.model, candidate.model.compiling
        if candidate.incumbent is None:
            return Finding(Outcome.SKIP, "nothing serves meanwhile: they are not waited for")
        known = candidate.incumbent.compiling.report
        if known is None or known.is_pyfunc_alone:
            return Finding(Outcome.SKIP, "pyfunc answers already: they are not waited for")
        model.proved.set()
        with anyio.move_on_after(self._wait_s):
            await compiling.settled.wait()
        if not compiling.settled.is_set():
            waited = f"none is in use after {self._wait_s:g} s"
            return Finding(Outcome.SKIP, f"{waited} (COMPILED_WAIT_S): pyfunc answers until one is")
        if compiling.report is None:
            return Finding(
                Outcome.SKIP, compiling.reason or "none is ready at once: pyfunc answers"
            )
        best = compiling.report.best
        return Finding(Outcome.PASS, f"one row is answered by {best[min(best)]}")
