"""The gate that tells how fast it is."""

from collections.abc import Sequence

from service.core.errors import ChildLostError, ChildRaisedError, ChildTimeoutError
from service.core.verdicts import Outcome
from service.serving.model import LoadedModel
from service.watcher.gates.gate import Finding, refuse_lost
from service.workers.messages import Timing


class SpeedGate:
    """Its calls are timed, for people: no version is refused for being slow.

    It is compared with what the incumbent took in its own speed gate, so that nothing that serves
    is disturbed. One that dies or hangs while it is timed is refused all the same.
    """

    name = "speed"
    compares = True

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    async def check(self, candidate: LoadedModel, incumbent: LoadedModel | None) -> Finding:
        """Time it, warm, and tell the figures beside the incumbent's."""
        try:
            reply = await candidate.pool.speed(
                self._timeout_s, incumbent.stored.path if incumbent else None
            )
        except ChildLostError as error:
            return refuse_lost(error)
        except ChildTimeoutError as error:
            return Finding(Outcome.REFUSE, str(error))
        except ChildRaisedError as error:
            return Finding(Outcome.SKIP, f"it could not be timed: {error}")
        if not reply.timings:
            return Finding(
                Outcome.SKIP, "it raised on every row that it could be timed with", timings=()
            )
        return Finding(Outcome.PASS, _told(reply.timings, incumbent), timings=reply.timings)


def _told(timings: Sequence[Timing], incumbent: LoadedModel | None) -> str:
    proof = incumbent.proof if incumbent else None
    before = {timing.rows: timing.ms for timing in proof.timings} if proof else {}
    told = []
    for timing in timings:
        figure = f"{timing.rows} row{'' if timing.rows == 1 else 's'} in {timing.ms:.3g} ms"
        if incumbent and timing.rows in before:
            figure += f" (version {incumbent.version.version}: {before[timing.rows]:.3g})"
        told.append(figure)
    return ", ".join(told)
