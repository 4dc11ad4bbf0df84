"""How fast requests for a model are refused, where their callers come back with no pause."""

import asyncio
from collections.abc import Hashable

A_SECOND = 500
"""The larger this is, the more of the server's time callers take that ignore `Retry-After`."""
BURST_S = 0.1
"""What comes after a quiet time is refused immediately, up to this time's worth."""
MOST_S = 0.5
"""No refusal is held back for longer: less than the second after which to come back."""


class RefusalPace:
    """Holds refusals back beyond a rate, for each model: a held caller asks nothing meanwhile.

    To refuse costs the server process nearly what an answer costs it, and a caller that is refused
    asks again sooner: a model whose callers do so would take the time that others' answers need.
    """

    def __init__(self) -> None:
        self._due_s: dict[Hashable, float] = {}
        """When the next refusal of each is due, by the loop's clock."""

    async def wait(self, model: Hashable) -> None:
        """Return once a request for a model may be refused: as a rule immediately."""
        now_s = asyncio.get_running_loop().time()
        due_s = max(self._due_s.get(model, 0.0), now_s - BURST_S) + 1 / A_SECOND
        self._due_s[model] = due_s = min(due_s, now_s + MOST_S)
        if due_s > now_s:
            await asyncio.sleep(due_s - now_s)
