"""One environment in one file, to be carried to another machine.

The file is a plain tar. Its first member, `bundle.json`, says what the environment is, and which
files it has; they follow under their numbers. Links, folders and devices are no part of it: an
environment's own are made anew where it is unpacked, by the Python that is there.
"""

import hashlib
import os
import stat
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, BinaryIO

import msgspec

from service.core.described import Name
from service.core.environments import Listed
from service.core.errors import ServiceError
from service.core.text import NAME_CHARACTERS, presentable
from service.environments.messages import Needs

FORMAT = 1
_ABOUT = "bundle.json"
_BLOCK = tarfile.BLOCKSIZE
_CHUNK_BYTES = 2**20
_MOST_ABOUT_BYTES = 2**26
_MOST_FILES = 500_000
_MOST_LOCK_CHARACTERS = 2**24
_LARGEST_BYTES = 2**33 - 1
"""What a header of the plain format can say."""
_OWN_NAMES = frozenset({"pyvenv.cfg", "python", "python3", "pythonw", "lib64"})
"""What an environment has of the Python that it was made by."""
_MODE, _PROGRAM_MODE = 0o600, 0o700


class BundleError(ServiceError):
    """Why a bundle can't be written, read or used."""

    code = "bundle"


class BundledFile(msgspec.Struct, frozen=True, array_like=True):
    """A file: its path below the environment, its size, its time, its SHA-256 in hexadecimal."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    size_bytes: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_BYTES)]
    time_ns: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    is_program: bool = False


_Text = Annotated[str, msgspec.Meta(max_length=_MOST_LOCK_CHARACTERS)]


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What bundle.json says."""

    format: int = FORMAT
    model: Annotated[str, msgspec.Meta(max_length=1000)]
    """The registered name of the version that it was made for, and its number."""
    version: Name
    created_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    """When that version was created: its requirements were resolved as of then."""
    needs: Needs
    lock: _Text
    lock_of_ours: _Text
    """What workers need besides, if the lock has none of it."""
    notes: Annotated[tuple[Listed, ...], msgspec.Meta(max_length=100)] = ()
    python: Annotated[str, msgspec.Meta(pattern=r"^\d{1,2}\.\d{1,3}\.\d{1,3}\w{0,8}$")]
    system: Name
    machine: Name
    libc: tuple[Name, Name]
    """The C library's name and version, both '' where it has none of those that are known."""
    files: Annotated[tuple[BundledFile, ...], msgspec.Meta(max_length=_MOST_FILES)] = ()

    @property
    def size_bytes(self) -> int:
        """What all files hold."""
        return sum(file.size_bytes for file in self.files)


class Written(msgspec.Struct, frozen=True):
    """What was written: how many files, the bytes of the tar, and its SHA-256 in hexadecimal."""

    files: int
    size_bytes: int
    sha256: str


def go_on() -> None:
    """Do nothing between two chunks."""


def write(
    target: Path,
    venv: Path,
    manifest: Path,
    bundle: Bundle,
    between: Callable[[], None] = go_on,
) -> Written:
    """Write an environment into a file; it has its name once it is whole.

    `manifest` is what was written down when it was built: a file that differs from it is not
    bundled. Raise BundleError for that, OSError where the disk does not let us.
    """
    whole = msgspec.structs.replace(bundle, files=tuple(_recorded(venv, manifest)))
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with aside.open("xb") as out:
            _write(out, venv, whole, between)
            size = out.tell()
            out.flush()
            os.fsync(out.fileno())
        digest = digest_of(aside, between)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return Written(len(whole.files), size, digest)


def read(file: Path) -> Bundle:
    """Return what a bundle says that it is; its files are looked at by `unpack` alone.

    Raise BundleError for what is none, OSError where it can't be read.
    """
    with _opened(file) as content:
        return _read(content)


def unpack(file: Path, root: Path, between: Callable[[], None] = go_on) -> None:
    """Put a bundle's files into `root`, a new environment without packages.

    Each has to be as bundle.json says: its place in the tar, its size, its SHA-256. Nothing is
    written through a link. Raise BundleError, after which `root` is of no use; OSError.
    """
    with _opened(file) as content:
        for number, wanted in enumerate(_read(content).files, 1):
            _next(content, str(number), wanted.size_bytes)
            _unpack(content, wanted, root, between)
        if content.read(2 * _BLOCK).strip(b"\0"):
            raise BundleError("it has more in it than it says")


def digest_of(file: Path, between: Callable[[], None] = go_on) -> str:
    """Return the SHA-256 of a whole file. Raise OSError."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            between()
    return digest.hexdigest()


# -- writing ---------------------------------------------------------------------------------------


def _recorded(venv: Path, manifest: Path) -> Iterator[BundledFile]:
    """Yield the files that are carried, as they were recorded."""
    try:
        recorded = msgspec.json.decode(
            manifest.read_bytes(), type=list[tuple[str, int, int, str]], strict=True
        )
    except msgspec.MsgspecError as error:
        raise BundleError(f"the environment's manifest can't be read: {error}") from error
    for path, size_bytes, time_ns, content in recorded:
        mode = (venv / path).lstat().st_mode
        if stat.S_ISREG(mode) and not _is_pythons_own(path):
            is_program = bool(mode & stat.S_IXUSR)
            yield BundledFile(path, size_bytes, time_ns, content, is_program)


def _write(out: BinaryIO, venv: Path, bundle: Bundle, between: Callable[[], None]) -> None:
    about = msgspec.json.encode(bundle)
    out.write(_header(_ABOUT, len(about)))
    out.write(about)
    out.write(_padding(len(about)))
    for number, file in enumerate(bundle.files, 1):
        out.write(_header(str(number), file.size_bytes))
        digest, left = hashlib.sha256(), file.size_bytes
        with (venv / file.path).open("rb") as content:
            while chunk := content.read(min(_CHUNK_BYTES, left)):
                digest.update(chunk)
                out.write(chunk)
                left -= len(chunk)
                between()
        if left or digest.hexdigest() != file.sha256:
            raise BundleError(f"{_shown(file.path)} has changed since it was built")
        out.write(_padding(file.size_bytes))
    out.write(bytes(2 * _BLOCK))


def _header(name: str, size_bytes: int) -> bytes:
    # Without times, users and modes: the same environment makes the same bundle.
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    return member.tobuf(tarfile.USTAR_FORMAT)


def _padding(size_bytes: int) -> bytes:
    return bytes(-size_bytes % _BLOCK)


# -- reading ---------------------------------------------------------------------------------------


def _opened(file: Path) -> BinaryIO:
    """Open a regular file, and no pipe that could keep us."""
    if not stat.S_ISREG(file.stat().st_mode):
        raise BundleError("it is no file")
    return file.open("rb")


def _read(content: BinaryIO) -> Bundle:
    size_bytes = _next(content, _ABOUT, None)
    if size_bytes > _MOST_ABOUT_BYTES:
        raise BundleError("what it says of itself is too long")
    try:
        bundle = msgspec.json.decode(_taken(content, size_bytes), type=Bundle)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"it is no bundle: {error}") from error
    if bundle.format != FORMAT:
        raise BundleError(f"it is a bundle of format {bundle.format}; {FORMAT} is read")
    seen: set[str] = set()
    for file in bundle.files:
        if not _is_safe(file.path) or _is_pythons_own(file.path):
            raise BundleError(f"{_shown(file.path)} is no path that a bundle may have")
        if file.path in seen:
            raise BundleError(f"{_shown(file.path)} is in it twice")
        seen.add(file.path)
    return bundle


def _next(content: BinaryIO, name: str, size_bytes: int | None) -> int:
    """Read the next header, which has to be a plain file's of this name and size.

    Headers are read by themselves: one that announces another, with a longer name or attributes,
    is refused before anything of it is read.
    """
    try:
        member = tarfile.TarInfo.frombuf(content.read(_BLOCK), "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise BundleError(f"it is no bundle, or not all of it: {error}") from error
    if member.type != tarfile.REGTYPE or member.name != name:
        raise BundleError(f"it has {_shown(member.name)} where {name} should be")
    if member.size < 0 or (size_bytes is not None and member.size != size_bytes):
        raise BundleError(f"its {name} has another size than it says")
    return member.size


def _taken(content: BinaryIO, size_bytes: int) -> bytes:
    taken = content.read(size_bytes)
    if len(taken) != size_bytes:
        raise BundleError("it ends too early")
    content.read(-size_bytes % _BLOCK)
    return taken


def _unpack(
    content: BinaryIO, wanted: BundledFile, root: Path, between: Callable[[], None]
) -> None:
    target = root / wanted.path
    _make_folders(root, PurePosixPath(wanted.path).parent)
    if os.path.lexists(target):
        # Of the new environment; anything but a file would be written through.
        if not stat.S_ISREG(target.lstat().st_mode):
            raise BundleError(f"{_shown(wanted.path)} is no path that a bundle may have")
        target.unlink()
    digest, left = hashlib.sha256(), wanted.size_bytes
    mode = _PROGRAM_MODE if wanted.is_program else _MODE
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(target, flags, mode), "wb") as out:
        while left:
            chunk = content.read(min(_CHUNK_BYTES, left))
            if not chunk:
                raise BundleError("it ends too early")
            digest.update(chunk)
            out.write(chunk)
            left -= len(chunk)
            between()
    content.read(-wanted.size_bytes % _BLOCK)
    if digest.hexdigest() != wanted.sha256:
        raise BundleError(f"{_shown(wanted.path)} has other content than it says")
    os.utime(target, ns=(wanted.time_ns, wanted.time_ns))


def _make_folders(root: Path, below: PurePosixPath) -> None:
    """Make the folders of a path, none of which may be a link."""
    folder = root
    for part in below.parts:
        folder /= part
        if not os.path.lexists(folder):
            folder.mkdir()
        elif not stat.S_ISDIR(folder.lstat().st_mode):
            raise BundleError(f"{_shown(str(below))} is no folder that a bundle may have")


def _is_safe(path: str) -> bool:
    """Tell whether a path leads below a folder on every system, in one way to write it."""
    parts = path.split("/")
    return not (
        any(part in {"", ".", ".."} for part in parts)
        or any(sign in path for sign in "\\:\0")
        or not path.isprintable()
    )


def _is_pythons_own(path: str) -> bool:
    """Tell whether a path is one of those that belong to the Python of the machine."""
    top, _, rest = path.partition("/")
    if top in {"bin", "Scripts"}:
        name = rest.removesuffix(".exe")
        return name in _OWN_NAMES or name.startswith("python3.")
    return top in _OWN_NAMES


def _shown(path: str) -> str:
    return presentable(path, NAME_CHARACTERS)
