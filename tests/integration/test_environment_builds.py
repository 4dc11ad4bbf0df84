"""Builds of environments that fail, are ended, or meet an index that is not as it should be."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import psutil
import pytest

from service.core.errors import EnvironmentNotBuiltError, EnvironmentRefusedError
from service.environments.environments import Environments
from tests.support.own_environments import OWN, Offered, says
from tools.made_packages import make_sdist, make_wheel
from tools.package_index import PackageIndex, package_index

HANGS = "import time\nprint('it hangs', flush=True)\ntime.sleep(600)\n"
LIMIT_S = 60.0


@pytest.fixture
async def offered(tmp_path: Path) -> AsyncIterator[Offered]:
    """Offer a package, and nothing else."""
    offered = Offered(tmp_path)
    make_wheel(offered.wheels, "beta", "1.0")
    yield offered
    await offered.close()


@pytest.fixture
def index(offered: Offered) -> Iterator[PackageIndex]:
    """Give an index of the same packages."""
    with package_index(offered.wheels) as index:
        yield index


async def of_index(offered: Offered, index: PackageIndex) -> Environments:
    """Return the environments of a service whose packages come from an index."""
    variables = {"UV_DEFAULT_INDEX": index.url, "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "5"}
    unset = dict.fromkeys(("UV_NO_INDEX", "UV_FIND_LINKS", "UV_OFFLINE"), "")
    environments = offered.environments(variables | unset)
    await environments.open()
    return environments


def left_behind(offered: Offered) -> list[Path]:
    """Return what lies in CACHE_DIR that is no environment and nobody's lock."""
    root = offered.cache_dir / "environments"
    marks = [*root.glob(".locks/in-use/*/*.lock")]
    return [*root.glob(".tmp/*"), *marks, *(offered.folder / "temp").glob("environment-*")]


def running(offered: Offered) -> list[str]:
    """Return the command lines of processes that are at work below the test's folder."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if str(offered.cache_dir) in line and process.pid != os.getpid():
            found.append(line)
    return found


async def test_an_import_that_hangs_is_named(offered: Offered) -> None:
    """The version is refused, and nothing is left of the build."""
    make_wheel(offered.wheels, "hangs", "1.0", files={"hangs.py": HANGS})
    environments = offered.environments(import_s=2.0)
    await environments.open()
    with pytest.raises(EnvironmentRefusedError, match="import of hangs was ended, since it took"):
        await offered.built(offered.stored("hangs\n"), environments=environments)
    assert left_behind(offered) == []
    assert running(offered) == []


async def test_an_import_that_prints_for_ever_is_ended(offered: Offered) -> None:
    """So it is with one that prints without end, whatever the time it has."""
    prints = "import sys\nwhile True:\n    sys.stdout.write('x' * 65536)\n"
    make_wheel(offered.wheels, "prints", "1.0", files={"prints.py": prints})
    with pytest.raises(EnvironmentRefusedError, match="printed without an end"):
        await offered.built(offered.stored("prints\n"))
    assert left_behind(offered) == []


async def test_imports_see_no_credential_and_may_fail_where_nobody_needs_them(
    offered: Offered,
) -> None:
    """A package's own code runs without uv's variables; that it can't be imported is noted."""
    seen = offered.folder / "seen"
    spy = f"import os; open({str(seen)!r} + '%s', 'w').write(repr(dict(os.environ)))\n"
    files = {"spies.py": spy % ".py", "spies.pth": spy % ".pth"}
    make_wheel(offered.wheels, "spies", "1.0", files=files)
    make_wheel(offered.wheels, "broken", "1.0", files={"broken.py": "import nonesuch\n"})
    environments = offered.environments({"UV_INDEX_CORP_PASSWORD": "hunter2"})
    await environments.open()
    held = await offered.built(offered.stored("spies\nbroken\n"), environments=environments)
    assert "UV_" not in "".join(seen.with_suffix(end).read_text() for end in (".py", ".pth"))
    assert [note for note in held.report.notes if "No module named 'nonesuch'" in note]


async def test_a_withdrawn_release_is_installed_where_it_is_pinned_and_that_is_said(
    offered: Offered, index: PackageIndex
) -> None:
    """By its reason, once, also in the next look; where any release would do it is refused."""
    index.yanked["beta-1.0-py3-none-any.whl"] = "it answers wrongly"
    environments = await of_index(offered, index)
    for _ in range(2):
        held = await offered.built(offered.stored("beta==1.0\n"), environments=environments)
        (note,) = (note for note in held.report.notes if "yanked" in note)
        assert "beta==1.0" in note
        assert "it answers wrongly" in note
        await held.release()
    with pytest.raises(EnvironmentRefusedError, match="yanked"):
        await offered.built(offered.stored("beta\n"), environments=environments)


async def test_a_build_that_is_cancelled_leaves_nothing(offered: Offered) -> None:
    """Its processes end, and its folders go."""
    make_wheel(offered.wheels, "hangs", "1.0", files={"hangs.py": HANGS})
    environments = offered.environments()
    await environments.open()
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as promotion:
            promotion.start_soon(environments.ensure, offered.stored("hangs\n"), OWN, _ignore)
            await anyio.to_thread.run_sync(_wait, partial(_imports, offered))
            promotion.cancel_scope.cancel()
    assert running(offered) == []
    assert left_behind(offered) == []
    assert await environments.kept.known() == []


def test_a_service_that_is_killed_in_mid_build(offered: Offered) -> None:
    """Its processes end with it, and the next service's start removes what it has left."""
    make_wheel(offered.wheels, "hangs", "1.0", files={"hangs.py": HANGS})
    program = (
        "import sys, anyio\nfrom pathlib import Path\n"
        "from tests.support.own_environments import OWN, Offered\n"
        "async def build():\n"
        "    offered = Offered(Path(sys.argv[1]), again=True)\n"
        "    await offered.built(offered.stored('hangs\\n'))\n"
        "if __name__ == '__main__':\n    anyio.run(build)\n"
    )
    script = offered.folder / "script.py"
    script.write_text(program)
    service = subprocess.Popen([sys.executable, script, offered.folder], env=_with_path())
    try:
        _wait(partial(_imports, offered))
    finally:
        service.send_signal(signal.SIGKILL)
        service.wait()
    _wait(lambda: not running(offered), limit_s=5)
    assert left_behind(offered)
    environments = offered.environments()
    anyio.run(environments.open)
    assert not list((offered.cache_dir / "environments" / ".tmp").iterdir())


async def test_a_full_disk_is_tried_again(offered: Offered) -> None:
    """As a limit on the size of files: nothing is left, and with room it is built."""
    make_wheel(offered.wheels, "large", "1.0", files={"large.py": f"X = '{'x' * 2**20}'\n"})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    environments = offered.environments()
    await environments.open()
    stored = offered.stored("large\n")
    async with environments.files():
        pass  # What was started before has no such limit, and stays: the fork server above all.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, hard))
    try:
        with pytest.raises(EnvironmentNotBuiltError):
            await offered.built(stored, environments=environments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_behind(offered) == []
    assert (await offered.built(stored, environments=environments)).environment.key


async def test_packages_are_those_of_the_day_the_version_was_created(
    offered: Offered, index: PackageIndex
) -> None:
    """Later ones are passed over; where an index has no times they are not, and that is said."""
    later = datetime(2026, 6, 1, tzinfo=UTC)
    make_wheel(offered.wheels, "beta", "2.0", uploaded=later)
    # What workers need may be younger than the version.
    make_wheel(offered.wheels, "msgspec", "0.19.0", uploaded=later)
    environments = await of_index(offered, index)
    stored = offered.stored("beta\n", created=datetime(2026, 3, 1, tzinfo=UTC))
    held = await offered.built(stored, environments=environments)
    assert says(held.environment, "beta.__version__", "beta") == "1.0"
    assert held.report.notes == ()
    index.has_upload_times = False
    stored = offered.stored("beta\n", created=datetime(2026, 3, 2, tzinfo=UTC))
    held = await offered.built(stored, environments=await of_index(offered, index))
    assert says(held.environment, "beta.__version__", "beta") == "2.0"
    assert "the index does not say when" in held.report.notes[0]


async def test_an_index_that_is_down_is_asked_again(offered: Offered, index: PackageIndex) -> None:
    """That is transient; the sentence has no credentials."""
    environments = await of_index(offered, index)
    index.down()
    with pytest.raises(EnvironmentNotBuiltError, match="Connection refused"):
        await offered.built(offered.stored("beta\n"), environments=environments)
    assert left_behind(offered) == []
    index.up()
    assert (await offered.built(offered.stored("beta\n"), environments=environments)).report


async def test_a_source_package_is_built_where_it_is_allowed(offered: Offered) -> None:
    """Not else: it runs its own code."""
    make_sdist(offered.wheels, "source", "1.0")
    with pytest.raises(EnvironmentRefusedError, match="source"):
        await offered.built(offered.stored("source\n"))
    allowed = msgspec.structs.replace(OWN, allow_sdist=True)
    held = await offered.built(offered.stored("source\n"), allowed)
    assert says(held.environment, "source.__version__", "source") == "1.0"


async def test_places_are_followed_where_they_are_allowed(
    offered: Offered, index: PackageIndex, tmp_path: Path
) -> None:
    """A version's own index, and a file by its URL."""
    (tmp_path / "more").mkdir()
    make_wheel(tmp_path / "more", "gamma", "3.0")
    with package_index(tmp_path / "more") as more:
        lines = f"--extra-index-url {more.url}\ngamma\n"
        lines += f"beta @ {index.url.replace('/simple/', '/files/')}beta-1.0-py3-none-any.whl\n"
        allowed = msgspec.structs.replace(OWN, allow_urls=True)
        environments = await of_index(offered, index)
        with pytest.raises(EnvironmentRefusedError, match=r"names an index \(ENV_ALLOW_URLS\)"):
            await offered.built(offered.stored(lines), environments=environments)
        held = await offered.built(offered.stored(lines), allowed, environments)
    assert says(held.environment, "beta.__version__, gamma.__version__", "beta, gamma") == "1.0 3.0"


def _imports(offered: Offered) -> bool:
    return any("imports.py" in line for line in running(offered))


def _ignore(_: object) -> None:
    """Nobody looks."""


def _with_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path.cwd())}


def _wait(is_so: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    ends = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < ends, "it did not come to be so"
        time.sleep(0.05)
