"""The gate that asks whether it loads."""

from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildTimeoutError,
    SignatureError,
)
from service.core.verdicts import Outcome
from service.watcher.gates.gate import Candidate, Finding, refuse_lost


class LoadGate:
    """It loads, in processes of its own, within LOAD_TIMEOUT_S."""

    name = "load"
    compares = False

    async def check(self, candidate: Candidate) -> Finding:
        """Open the candidate; a model that raises, dies or hangs there is refused."""
        try:
            await candidate.open()
        except SignatureError as error:
            return Finding(Outcome.REFUSE, str(error))
        except ChildRaisedError as error:
            candidate.log.warning("version raised while loading", exception=error.detail)
            return Finding(Outcome.REFUSE, f"loading raised {error}")
        except ChildLostError as error:
            return refuse_lost(error)
        except ChildTimeoutError as error:
            return Finding(Outcome.REFUSE, f"{error} (LOAD_TIMEOUT_S)")
        loaded = candidate.model.loaded
        writes = f"; {loaded.writes.told}" if loaded.writes.told else ""
        return Finding(Outcome.PASS, f"loaded in {loaded.load_s:.2f} s{writes}")
