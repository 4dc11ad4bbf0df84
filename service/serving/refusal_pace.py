"""How fast requests for a model are refused, where their callers come back with no pause."""

import asyncio
from collections.abc import Hashable

A_SECOND = 2_000
"""The larger this is, the more of the server's time callers take that ignore `Retry-After`."""
A_SECOND_BESIDE_OTHERS = 500
"""The same while other models are asked, whose answers wait for what refusals take."""
BURST_S = 0.1
"""What comes after a quiet time is refused immediately, up to this time's worth."""
MOST_S = 0.5
"""No refusal is held back for longer: less than the second after which to come back."""
_MOST_OF_DEADLINE = 0.5
"""Nor for more than this share of the time until its caller's deadline."""


class RefusalPace:
    """Holds refusals back beyond a rate, for each model: a held caller asks nothing meanwhile.

    To refuse costs the server process nearly what an answer costs it, and a caller that is refused
    asks again sooner: a model whose callers do so would take the time that others' answers need.
    """

    def __init__(self) -> None:
        self._due_s: dict[Hashable, float] = {}
        """When the next refusal of each is due, by the loop's clock."""

    async def wait(
        self, model: Hashable, deadline_s: float | None = None, *, beside_others: bool = False
    ) -> None:
        """Return once a request for a model may be refused: as a rule immediately.

        `deadline_s` is the caller's, by the loop's time; `beside_others` is whether other models
        are asked as well.
        """
        now_s = asyncio.get_running_loop().time()
        pause_s = 1 / (A_SECOND_BESIDE_OTHERS if beside_others else A_SECOND)
        due_s = max(self._due_s.get(model, 0.0), now_s - BURST_S) + pause_s
        self._due_s[model] = due_s = min(due_s, now_s + MOST_S)
        if deadline_s is not None:
            due_s = min(due_s, now_s + (deadline_s - now_s) * _MOST_OF_DEADLINE)
        if due_s > now_s:
            await asyncio.sleep(due_s - now_s)
