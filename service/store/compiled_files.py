"""The layout of a folder of compiled predictors, which is checked before anything is opened.

It has `files/`, and `manifest.json` that says what is in there.
"""

from pathlib import Path

from service.store import manifest

FILES = "files"


def verified(place: Path) -> Path:
    """Return the files in a kept folder. Raise StoreCorruptError where they are not as recorded."""
    files = place / FILES
    manifest.verify(files, manifest.read(place / manifest.MANIFEST_NAME))
    return files
