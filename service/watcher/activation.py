"""A rollout's step in which compiled predictors are taken into use before the swap."""

import anyio

from service.core.verdicts import Outcome
from service.serving.model import LoadedModel
from service.watcher.gates.gate import Finding

COMPILED = "predictors"
"""The verdict on this step has this name."""


async def wait_for_compiled(
    candidate: LoadedModel, incumbent: LoadedModel | None, wait_s: float
) -> Finding:
    """Have a proved version's workers answer by what is compiled, and tell by what they do.

    A new version shall not be several times slower for a moment because it is new. Where the
    version that serves answers by pyfunc, or none serves, nothing is waited for. No version is
    refused for it: one that has no such predictors, or not in time, answers by pyfunc.
    """
    if incumbent is None:
        return Finding(Outcome.SKIP, "nothing serves meanwhile: they are not waited for")
    known = incumbent.compiling.report
    if known is None or known.is_pyfunc_alone:
        return Finding(Outcome.SKIP, "pyfunc answers already: they are not waited for")
    candidate.compiling.allow_quick()
    compiling = candidate.compiling
    with anyio.move_on_after(wait_s):
        await compiling.settled.wait()
    if not compiling.settled.is_set():
        waited = f"none is in use after {wait_s:g} s"
        return Finding(Outcome.SKIP, f"{waited} (COMPILED_WAIT_S): pyfunc answers until one is")
    if compiling.report is None:
        return Finding(Outcome.SKIP, compiling.reason or "none is ready yet: pyfunc answers")
    best = compiling.report.best
    return Finding(Outcome.PASS, f"one row is answered by {best[min(best)]}")
