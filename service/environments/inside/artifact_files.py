"""Read a file that came with a version: a regular one, of a bounded size, in UTF-8."""

import errno
from pathlib import Path

from service.core.errors import ServiceError
from service.store.files import read_small

_NO_SUCH_FILE = frozenset({errno.EINVAL, errno.ELOOP, errno.EFBIG, errno.EISDIR, errno.ENXIO})
"""These errors are about the file, and would be the same at another try."""


class UnreadableFileError(ServiceError):
    """A file of a version's that is not what its name says; the message names it."""


def read_text(file: Path, most_bytes: int) -> str:
    """Return a file's text, '' where there is none.

    Raise UnreadableFileError for what is no such file, OSError where the disk does not let us.
    """
    try:
        return read_small(file, most_bytes).decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise UnreadableFileError(f"{file.name} can't be read: it is not in UTF-8") from None
    except OSError as error:
        if error.errno not in _NO_SUCH_FILE:
            raise
        raise UnreadableFileError(f"{file.name} can't be read: {error.strerror}") from None
