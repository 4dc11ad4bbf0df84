import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.environments import bundle
from service.environments.bundle import Bundle, BundledFile, BundleError
from service.environments.messages import Needs

SITE = "lib/python3.11/site-packages"
ABOUT = Bundle(
    model="wine",
    version="3",
    created_ms=1_700_000_000_000,
    needs=Needs(found_by="requirements.txt", requirements=("red==1.0",)),
    lock="red==1.0 --hash=sha256:00\n",
    lock_of_ours="",
    notes=("it is noted",),
    python="3.11.7",
    system="linux",
    machine="x86_64",
    libc=("glibc", "2.36"),
)


def make_venv(root: Path, files: dict[str, bytes]) -> Path:
    """Make a folder that looks like an environment: links to a Python, and files."""
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "python").symlink_to("/usr/bin/python3")
    (root / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (root / "lib").mkdir()
    (root / "lib64").symlink_to("lib")
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def recorded(root: Path, manifest: Path) -> Path:
    """Write down each file and link as a build does."""
    entries: list[tuple[str, int, int, str]] = []
    for file in sorted(one for one in root.rglob("*") if one.is_symlink() or one.is_file()):
        path = file.relative_to(root).as_posix()
        if file.is_symlink():
            entries.append((path, 0, 0, str(file.readlink())))
        else:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            entries.append((path, file.stat().st_size, file.stat().st_mtime_ns, digest))
    manifest.write_bytes(msgspec.json.encode(entries))
    return manifest


@pytest.fixture
def files() -> dict[str, bytes]:
    """Return some files, one of a size that is no multiple of a block, one empty."""
    return {
        f"{SITE}/red.py": b"x" * 1_000,
        f"{SITE}/red-1.0.dist-info/RECORD": b"",
        f"{SITE}/{'deep/' * 60}long.py": b"y" * 512,
        "bin/red": b"#!/bin/sh\n",
    }


@pytest.fixture
def carried(tmp_path: Path, files: dict[str, bytes]) -> Path:
    """Write a bundle of them."""
    venv = make_venv(tmp_path / "venv", files)
    (venv / "bin" / "red").chmod(0o755)
    bundle.write(tmp_path / "x.tar", venv, recorded(venv, tmp_path / "manifest.json"), ABOUT)
    return tmp_path / "x.tar"


def test_what_was_bundled_is_unpacked(
    tmp_path: Path, files: dict[str, bytes], carried: Path
) -> None:
    """Files with their times and rights, without what belongs to the machine's own Python."""
    found = bundle.read(carried)
    assert msgspec.structs.replace(found, files=()) == ABOUT
    assert {file.path for file in found.files} == files.keys()
    assert found.size_bytes == sum(map(len, files.values()))
    root = make_venv(tmp_path / "new", {"bin/activate": b"", "bin/red": b"an older one"})
    bundle.unpack(carried, root)
    for file in found.files:
        assert (root / file.path).read_bytes() == files[file.path]
        assert (root / file.path).stat().st_mtime_ns == file.time_ns
    assert os.access(root / "bin" / "red", os.X_OK)
    assert not os.access(root / SITE / "red.py", os.X_OK)
    assert (root / "bin" / "python").readlink() == Path("/usr/bin/python3")


def test_any_tar_lists_it(carried: Path) -> None:
    """It is a plain tar, of plain files alone, which needs no extension of the format."""
    with tarfile.open(carried, "r:") as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == ["bundle.json", "1", "2", "3", "4"]
    assert all(member.isreg() and not member.pax_headers for member in members)


def test_the_same_environment_makes_the_same_bundle(tmp_path: Path, carried: Path) -> None:
    """So that its digest says what is in it."""
    again = bundle.write(
        tmp_path / "again.tar", tmp_path / "venv", tmp_path / "manifest.json", ABOUT
    )
    assert again.sha256 == bundle.digest_of(carried)
    assert again.size_bytes == carried.stat().st_size


def test_what_has_changed_since_it_was_built_is_not_bundled(tmp_path: Path) -> None:
    """And nothing is left of the bundle."""
    venv = make_venv(tmp_path / "venv", {"lib/red.py": b"one"})
    manifest = recorded(venv, tmp_path / "manifest.json")
    for changed in (b"two", b"three"):
        (venv / "lib/red.py").write_bytes(changed)
        with pytest.raises(BundleError, match=r"lib/red\.py has changed since it was built"):
            bundle.write(tmp_path / "x.tar", venv, manifest, ABOUT)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["manifest.json", "venv"]


def entry(path: str, content: bytes = b"hostile") -> BundledFile:
    """Return a file's line in bundle.json."""
    return BundledFile(path, len(content), 0, hashlib.sha256(content).hexdigest())


def hostile(
    file: Path,
    entries: list[BundledFile],
    contents: list[bytes],
    change: Callable[[list[tarfile.TarInfo]], None] = lambda _: None,
    **about: Any,
) -> Path:
    """Write a tar with what `write` would not write."""
    said = msgspec.json.encode(msgspec.structs.replace(ABOUT, files=tuple(entries), **about))
    parts = [said, *contents]
    members = [
        tarfile.TarInfo(name)
        for name in ("bundle.json", *(str(number) for number in range(1, len(parts))))
    ]
    for member, part in zip(members, parts, strict=True):
        member.size = len(part)
    change(members)
    with tarfile.open(file, "w:", format=tarfile.PAX_FORMAT) as archive:
        for member, part in zip(members, parts, strict=True):
            archive.addfile(member, io.BytesIO(part))
    return file


@pytest.mark.parametrize(
    "path",
    [
        "../evil.py",
        "/evil.py",
        "lib/../../evil.py",
        "lib//evil.py",
        "./evil.py",
        "lib\\..\\evil.py",
        "C:evil.py",
        "lib/evil\n.py",
        "lib/\u202eevil.py",
        "pyvenv.cfg",
        "bin/python",
        "bin/python3.11",
        "Scripts/python.exe",
        "lib64/evil.py",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    """Before anything is unpacked."""
    file = hostile(tmp_path / "x.tar", [entry(path)], [b"hostile"])
    with pytest.raises(BundleError, match="is no path that a bundle may have"):
        bundle.read(file)


def as_kind(kind: bytes, link: str = "") -> Callable[[list[tarfile.TarInfo]], None]:
    """Return what makes the first file something else."""

    def change(members: list[tarfile.TarInfo]) -> None:
        members[1].type, members[1].linkname = kind, link

    return change


def named(name: str) -> Callable[[list[tarfile.TarInfo]], None]:
    """Return what gives the first file another name."""

    def change(members: list[tarfile.TarInfo]) -> None:
        members[1].name = name

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(as_kind(kind, "/etc/passwd") for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE)),
        *(as_kind(kind) for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)),
        *(as_kind(kind) for kind in (tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE)),
        named("../../evil"),
        named("2"),
        # Announced by a header that says how long it is.
        named("n" * 300),
    ],
)
def test_a_member_that_is_no_plain_file_is_refused(
    tmp_path: Path, change: Callable[[list[tarfile.TarInfo]], None]
) -> None:
    """Links, devices, pipes, folders, and headers that announce others."""
    file = hostile(tmp_path / "x.tar", [entry("lib/evil.py")], [b"hostile"], change)
    root = make_venv(tmp_path / "new", {})
    with pytest.raises(BundleError, match="where 1 should be"):
        bundle.unpack(file, root)
    assert not (root / "lib" / "evil.py").exists()


def test_sizes_and_hashes_are_those_that_it_says(tmp_path: Path) -> None:
    """A longer, a shorter, another, a missing and a further file are refused."""
    one = entry("lib/one.py")
    for number, (entries, contents, reason) in enumerate(
        [
            ([one], [b"hostile and longer"], "another size"),
            ([one], [b"short"], "another size"),
            ([one], [b"changed"], "other content than it says"),
            ([one, entry("lib/two.py")], [b"hostile"], "no bundle, or not all of it"),
            ([one], [b"hostile", b"more"], "more in it than it says"),
            ([one, one], [b"hostile", b"hostile"], "is in it twice"),
        ]
    ):
        file = hostile(tmp_path / f"{number}.tar", entries, contents)
        with pytest.raises(BundleError, match=reason):
            bundle.unpack(file, make_venv(tmp_path / str(number), {}))


def test_nothing_is_written_through_a_link_or_a_file(tmp_path: Path) -> None:
    """Whatever the new environment has there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for number, path in enumerate(("lib/out/evil.py", "lib/file/evil.py", "lib/link.py")):
        root = make_venv(tmp_path / str(number), {"lib/file": b"kept"})
        (root / "lib" / "out").symlink_to(outside)
        (root / "lib" / "link.py").symlink_to(outside / "evil.py")
        with pytest.raises(BundleError, match="that a bundle may have"):
            bundle.unpack(hostile(tmp_path / f"{number}.tar", [entry(path)], [b"hostile"]), root)
    assert not list(outside.iterdir())


def test_what_is_cut_short_or_none_is_refused(tmp_path: Path, carried: Path) -> None:
    """At every length, without a file that is written over in its place."""
    whole = carried.read_bytes()
    for length in (0, 1, 511, 512, 700, len(whole) // 2, len(whole) - 3 * 512):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises(BundleError):
            bundle.unpack(tmp_path / "cut.tar", make_venv(tmp_path / f"cut{length}", {}))
    for number, content in enumerate((b"\x1f\x8b" + bytes(600), b"PK" + bytes(600), bytes(1_024))):
        (tmp_path / f"none{number}").write_bytes(content)
        with pytest.raises(BundleError):
            bundle.read(tmp_path / f"none{number}")
    with pytest.raises(BundleError, match="no file"):
        bundle.read(tmp_path)


def test_what_it_says_of_itself_is_read_strictly(tmp_path: Path) -> None:
    """Another format, a version of Python that is none, and what is far too long are refused."""
    with pytest.raises(BundleError, match="a bundle of format 2"):
        bundle.read(hostile(tmp_path / "a.tar", [], [], format=2))
    for field in ({"python": "; rm"}, {"model": "n" * 1_001}, {"created_ms": -1}):
        with pytest.raises(BundleError, match="it is no bundle"):
            bundle.read(hostile(tmp_path / "b.tar", [], [], **field))
    huge = tarfile.TarInfo("bundle.json")
    huge.size = 2**33 - 1
    (tmp_path / "c.tar").write_bytes(huge.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(BundleError, match="too long"):
        bundle.read(tmp_path / "c.tar")
