"""By what is seen that a file has changed."""

from pathlib import Path

Signature = tuple[int, int, int, int] | None


def signature_of(file: Path) -> Signature:
    """Return what changes with a file, None where it can't be seen. A link counts as its target."""
    try:
        found = file.stat()
    except OSError:
        return None
    # The last is another one after a change of rights, too.
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns
