"""The descriptions that stored versions give of themselves, asked of a child once for each."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from service.core.described import Described
from service.core.versions import StoredVersion
from service.registry.messages import DescribeRequest

_KEPT = 16
"""This many descriptions are kept. The largest that is allowed takes half a megabyte."""


class Descriptions:
    """Has a version's files read by the child process that `ask` sends to."""

    def __init__(self, ask: Callable[[DescribeRequest], Awaitable[Described]]) -> None:
        self._ask = ask
        self._known: OrderedDict[str, Described] = OrderedDict()

    async def of(self, stored: StoredVersion) -> Described:
        """Return what a version says of itself. Raise what `ask` raises."""
        # By its content: another version of the same number has other files.
        key = f"{stored.version.key} {stored.digest}"
        known = self._known.get(key)
        if known is None:
            known = await self._ask(DescribeRequest(str(stored.path)))
            self._known[key] = known
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return known
