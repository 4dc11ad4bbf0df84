"""The gate that says which files it is about."""

import anyio.to_thread

from service.core.errors import StoreCorruptError
from service.core.verdicts import Outcome
from service.core.versions import StoredVersion
from service.store import manifest
from service.watcher.gates.gate import Finding

_SHOWN_DIGITS = 12
_KB = 1000


class ArtifactsGate:
    """Its files are all there, and recorded.

    That they arrived whole was found when they were fetched, against the artifact store's listing
    and the size that the model was logged with; that they are unchanged, by the store before this,
    and by each worker before it loads.
    """

    name = "artifacts"

    async def check(self, stored: StoredVersion) -> Finding:
        """Tell how many files and bytes there are. Raise StoreCorruptError for another record."""
        recorded = await anyio.to_thread.run_sync(_recorded, stored)
        count = len(recorded.files)
        size = readable_size(recorded.size_bytes)
        return Finding(
            Outcome.PASS,
            f"{count} file{'' if count == 1 else 's'}, {size}, complete by "
            f"the store's listing and recorded as sha256 {recorded.digest[:_SHOWN_DIGITS]}",
        )


def _recorded(stored: StoredVersion) -> manifest.Manifest:
    recorded = manifest.read(stored.path.parent / manifest.MANIFEST_NAME)
    if recorded.digest != stored.digest:
        raise StoreCorruptError(f"the manifest of {stored.path} is not the one that was recorded")
    return recorded


def readable_size(size_bytes: float) -> str:
    """Write a size as people do: three digits and a unit."""
    for unit in ("bytes", "kB", "MB"):
        if size_bytes < _KB:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= _KB
    return f"{size_bytes:.3g} GB"
