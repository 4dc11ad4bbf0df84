"""State files with any damage: nothing undeclared is raised, and no pin is lost in silence."""

import contextlib
import os
from pathlib import Path

import anyio
import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.control.pointer_state import PointerState
from service.core.errors import StateUnreadableError
from service.core.versions import ModelVersion
from service.store import files, needs
from service.store.pointer_file import Memory, Refusal, memory_file, pointer_name
from tests.support.fake_source import a_version

EXAMPLES = 2000 if os.environ.get("HOTSWAP_LONG_FAULTS") else 150
POINTER = "models:/m@champion at http://registry.test"

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
versions = st.builds(
    ModelVersion,
    registry=names,
    name=names,
    version=st.integers(0, 10**18).map(str),
    run_id=names,
    source=names,
    created_ms=st.integers(0, 2**62),
    workspace=st.sampled_from(["", "team-a"]),
)
memories = st.builds(
    Memory,
    pin=versions,
    refusals=st.lists(st.builds(Refusal, versions, names), max_size=2).map(tuple),
)


@st.composite
def damages(draw: st.DrawFn, content: bytes) -> bytes:
    """Return other bytes than the content: cut, changed, doubled, filled, or something else."""
    at, end = sorted((draw(st.integers(0, len(content))), draw(st.integers(0, len(content)))))
    filling = draw(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                [b"[" * 5000, b'{"a":' * 5000, b"9" * 5000, b"\x00" * 100, b"null", b"1e999", b"-"]
            ),
        )
    )
    return content[:at] + filling + content[end:]


def _written(folder: Path, memory: Memory) -> Path:
    file = folder / "pointers" / "p.json"
    memory_file(file).overwrite(memory)
    return file


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(memory=memories, data=st.data())
def test_a_changed_file_is_damaged_or_means_the_same(
    tmp_path: Path, memory: Memory, data: st.DataObject
) -> None:
    """Never another pin, and never none."""
    file = _written(tmp_path, memory)
    content = file.read_bytes()
    file.write_bytes(data.draw(damages(content)))
    try:
        found = memory_file(file).read()
    except StateUnreadableError:
        return
    assert found == memory


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
def test_every_reader_takes_any_bytes(tmp_path: Path, data: st.DataObject) -> None:
    """In the store's files, too: the worst that is raised is declared."""
    good = needs.Needs(POINTER, good=a_version(1).key)
    contents = [
        msgspec.json.encode(good),
        msgspec.json.encode({"m-1": 3}),
        msgspec.json.encode([{"registry": "", "ref_uri": POINTER, "key": "m-1"}]),
        msgspec.json.encode({"version": a_version(1), "digest": "0"}),
    ]
    damaged = data.draw(st.one_of(st.binary(max_size=50), *map(damages, contents)))
    folder = tmp_path / "versions" / "m-1"
    folder.mkdir(parents=True, exist_ok=True)
    for file in (tmp_path / "uses.json", tmp_path / "good.json", folder / "version.json"):
        file.write_bytes(damaged)
    files.read_uses(tmp_path / "uses.json")
    files.read_version(folder)
    files.add_use(tmp_path / "uses.json", tmp_path / "versions", "m-1")
    needs.migrate(tmp_path)
    needs.note(tmp_path, POINTER, good="m-1")
    file = tmp_path / "needs" / f"{pointer_name(POINTER)}.json"
    file.write_bytes(damaged)
    for read in (lambda: needs.read(tmp_path, POINTER), lambda: needs.all_keys(tmp_path)):
        with contextlib.suppress(StateUnreadableError):
            read()
    file.unlink()


@settings(
    max_examples=EXAMPLES // 5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
@example(data=None)
def test_a_start_with_a_damaged_file_is_held_or_pinned(
    tmp_path: Path, data: st.DataObject | None
) -> None:
    """The whole way of a start: it knows the pin, or knows that it does not."""

    async def start() -> None:
        before = PointerState(tmp_path, POINTER)
        await before.recall()
        await before.remember_pin(a_version(1))
        (file,) = (tmp_path / "pointers").glob("*.json")
        content = file.read_bytes()
        file.write_bytes(data.draw(damages(content)) if data else b"")
        service = PointerState(tmp_path, POINTER)
        memory = await service.recall()
        if memory is None:
            assert service.held
        else:
            assert memory.pin == a_version(1)

    anyio.run(start)
