"""What stored versions say of themselves, asked of a child once for each."""

from collections import OrderedDict

from service.core.described import Described
from service.core.versions import StoredVersion
from service.registry.messages import DESCRIBE, DescribeRequest
from service.registry.process import Scout

_KEPT = 16
"""Each takes half a megabyte at most, where its requirements are as many and long as may be."""
_TIMEOUT_S = 60.0
"""A small part of a second does."""


class Descriptions:
    """Has a version's files read by a scout."""

    def __init__(self, scout: Scout) -> None:
        self._scout = scout
        self._known: OrderedDict[str, Described] = OrderedDict()

    async def of(self, stored: StoredVersion) -> Described:
        """Return what a version says of itself. Raise what `Scout.ask` raises."""
        # By its content: another version of the same number has other files.
        key = f"{stored.version.key} {stored.digest}"
        known = self._known.get(key)
        if known is None:
            request = DescribeRequest(str(stored.path))
            known = await self._scout.ask(DESCRIBE, request, Described, _TIMEOUT_S)
            self._known[key] = known
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return known
