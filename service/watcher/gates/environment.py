"""The gate that compares what a version was logged with and what is installed here."""

from collections.abc import Awaitable, Callable
from typing import Literal

import anyio.to_thread

from service.core.described import Described
from service.core.verdicts import Outcome
from service.core.versions import StoredVersion
from service.environments.comparison import compare_here
from service.watcher.gates.gate import Finding

_SHOWN = 20
"""A list shows this many sentences, and says how many more there are."""


class EnvironmentGate:
    """Its Python and its requirements are what is installed, or ON_MISMATCH=warn.

    MLflow itself only logs such differences, and from a worker nobody sees that.
    """

    name = "environment"

    def __init__(
        self,
        on_mismatch: Literal["warn", "refuse"],
        describe: Callable[[StoredVersion], Awaitable[Described]],
    ) -> None:
        self._on_mismatch = on_mismatch
        self._describe = describe

    async def check(self, stored: StoredVersion) -> Finding:
        """Name each package that differs, what is wanted and what was found."""
        described = await self._describe(stored)
        if described.refusal:
            return Finding(Outcome.REFUSE, described.refusal)
        compared, differences, unread = await anyio.to_thread.run_sync(compare_here, described)
        also = f"; not compared: {_listed(unread, ', ')}" if unread else ""
        if differences:
            told = f"{_listed(differences, '; ')}{also}"
            if self._on_mismatch == "refuse":
                return Finding(Outcome.REFUSE, f"{told}: install what is wanted (ON_MISMATCH)")
            return Finding(Outcome.PASS, f"warning: {told} (ON_MISMATCH=warn)")
        if not compared:
            return Finding(Outcome.SKIP, f"the version names nothing that it needs{also}")
        return Finding(Outcome.PASS, f"all {compared} that it needs are installed{also}")


def _listed(sentences: list[str], between: str) -> str:
    more = len(sentences) - _SHOWN
    return between.join([*sentences[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])
