"""The gate that asks whether it answers."""

from service.core.errors import ChildLostError, ChildRaisedError, ChildTimeoutError
from service.core.verdicts import Outcome
from service.serving.model import LoadedModel
from service.watcher.gates.gate import Finding, log_of, refuse_lost


class SmokeGate:
    """It predicts on an example: right shape, right row count, finite numbers.

    On its own, without one on the incumbent's, and without both on rows made from its signature,
    on which it may raise.
    """

    name = "smoke"
    compares = True

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    async def check(self, candidate: LoadedModel, incumbent: LoadedModel | None) -> Finding:
        """Predict, and find out whether the model is row-wise."""
        try:
            reply = await candidate.pool.smoke(
                self._timeout_s, incumbent.stored.path if incumbent else None
            )
        except ChildLostError as error:
            return refuse_lost(error)
        except ChildTimeoutError as error:
            return Finding(Outcome.REFUSE, str(error))
        except ChildRaisedError as error:
            log_of(candidate.version).warning(
                "version raised on its example", exception=error.detail
            )
            return Finding(Outcome.REFUSE, f"predicting on its example raised {error}")
        if reply.refusal:
            return Finding(Outcome.REFUSE, reply.refusal)
        batched = "batched" if reply.row_wise else "not batched"
        reason = f"{reply.row_wise_why}: requests are {batched}"
        if reply.writes.told:
            reason += f"; {reply.writes.told}"
        if not reply.rows:
            return Finding(Outcome.SKIP, reason, row_wise=reply.row_wise, example=reply.example)
        told = f"predicted {reply.rows} rows of {reply.rows_from}; {reason}"
        return Finding(Outcome.PASS, told, row_wise=reply.row_wise, example=reply.example)
