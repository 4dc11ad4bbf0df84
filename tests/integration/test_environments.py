"""Environments that uv really builds, of a test's own wheels."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import msgspec
import pytest

from service.core.environments import SHARED
from service.core.errors import EnvironmentNotBuiltError, EnvironmentRefusedError
from service.environments import uv
from service.environments.kept import LOCK
from tests.support.own_environments import OWN, Offered, other_python, says
from tools.made_packages import make_wheel
from tools.package_index import package_index

AUTO = msgspec.structs.replace(OWN, mode="auto")


@pytest.fixture
async def offered(tmp_path: Path) -> AsyncIterator[Offered]:
    """Offer two versions of a package that needs another one."""
    offered = Offered(tmp_path)
    for version in ("1.0", "2.0"):
        make_wheel(offered.wheels, "alpha", version, requires=["beta"])
    make_wheel(offered.wheels, "beta", "1.0")
    yield offered
    await offered.close()


async def test_requirements_are_locked_and_built_and_found_again(offered: Offered) -> None:
    """It has what the version names, what that needs, and msgspec; a second one needs no uv."""
    environments = offered.environments()
    await environments.open()
    first = await offered.built(offered.stored("alpha==1.0\n"), environments=environments)
    answer = says(first.environment, "alpha.__version__, beta.__version__", "alpha, beta")
    assert answer == "1.0 1.0"
    assert says(first.environment, "msgspec.__version__", "msgspec") == "0.19.0"
    assert first.report.found_by == "requirements.txt"
    assert (first.report.packages, first.report.was_there) == (3, False)
    assert first.report.bytes > 0
    lock = (environments.kept.folder(first.environment.key) / LOCK).read_text()
    assert lock.count("--hash=sha256:") == 3
    assert hashlib.sha256(lock.encode()).hexdigest() == first.report.lock_digest
    steps = [told.step for told in offered.told]
    assert list(dict.fromkeys(steps)) == ["resolve", "download", "install", "import"]

    shutil.rmtree(offered.wheels)
    began = time.monotonic()
    second = await offered.built(offered.stored("alpha==1.0\n"), environments=environments)
    assert time.monotonic() - began < 5
    assert second.environment == first.environment
    assert second.report.was_there
    await first.release()
    await second.release()


async def test_auto_shares_where_all_is_installed(offered: Offered) -> None:
    """A version that needs nothing else shares the service's own; another one gets its own."""
    shared = await offered.built(offered.stored(f"msgspec=={msgspec.__version__}\n"), AUTO)
    assert shared.environment == SHARED
    assert not (offered.cache_dir / "environments" / ".uv").exists()
    own = await offered.built(offered.stored("beta==1.0\n"), AUTO)
    assert own.environment.key
    assert own.report.differs == ("beta ==1.0 wanted, none found",)


async def test_an_environment_is_of_the_python_that_the_version_names(offered: Offered) -> None:
    """Another minor version than the service's is looked for among those that are installed."""
    minor, folder = other_python()
    environments = offered.environments({"PATH": folder})
    await environments.open()
    stored = offered.stored("beta\n", python=f"{minor}.0")
    held = await offered.built(stored, environments=environments)
    assert held.environment.python.startswith(f"{minor}.")
    assert says(held.environment, "platform.python_version()", "platform") == (
        held.environment.python
    )


async def test_a_python_that_is_not_there_is_named(offered: Offered) -> None:
    """Where none may be fetched either, the version is refused."""
    with pytest.raises(
        EnvironmentRefusedError, match=r"no Python 3\.99 .*UV_PYTHON_DOWNLOADS=never"
    ):
        await offered.built(offered.stored("beta\n", python="3.99.1"))


async def test_wheels_in_the_artifacts_are_installed_from_there(offered: Offered) -> None:
    """What MLflow's WheeledModel has put beside the model is taken, and no index asked for it."""
    stored = offered.stored("wheels/alpha-9.0-py3-none-any.whl\n")
    (stored.path / "wheels").mkdir()
    make_wheel(stored.path / "wheels", "alpha", "9.0")
    held = await offered.built(stored)
    assert says(held.environment, "alpha.__version__", "alpha") == "9.0"
    assert held.report.found_by == "the wheels in its artifacts"
    assert held.report.packages == 2


async def test_a_lock_beside_the_version_is_taken_as_it_is(offered: Offered) -> None:
    """Each package has a hash there; a file with another one is refused."""
    digest = hashlib.sha256((offered.wheels / "beta-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    lock = f"beta==1.0 \\\n    --hash=sha256:{digest}\n"
    held = await offered.built(offered.stored("alpha==1.0\n", files={"environment.lock": lock}))
    assert says(held.environment, "beta.__version__", "beta") == "1.0"
    assert held.report.found_by == "its lock"
    with pytest.raises(EnvironmentRefusedError, match="Hash mismatch"):
        await offered.built(
            offered.stored(files={"environment.lock": lock.replace(digest, "0" * 64)})
        )


async def test_a_conflict_is_refused_in_the_resolvers_words(offered: Offered) -> None:
    """The sentence says what disagrees."""
    make_wheel(offered.wheels, "gamma", "1.0", requires=["alpha<2"])
    with pytest.raises(EnvironmentRefusedError, match=r"gamma depend on alpha<2"):
        await offered.built(offered.stored("alpha==2.0\ngamma\n"))
    with pytest.raises(EnvironmentRefusedError, match=r"msgspec 0\.15\.0, and its workers need"):
        await offered.built(offered.stored("msgspec==0.15.0\n"))


async def test_what_a_model_writes_reaches_no_other_environment(offered: Offered) -> None:
    """No file is a hard link, and neither uv's cache nor another environment has the change."""
    environments = offered.environments()
    await environments.open()
    first = await offered.built(offered.stored("alpha==1.0\n"), environments=environments)
    venv = Path(first.environment.interpreter).parents[1]
    for file in (path for path in venv.rglob("*") if path.is_file() and not path.is_symlink()):
        assert file.stat().st_nlink == 1, file
    module = next(venv.glob("lib/python*/site-packages/beta.py"))
    module.write_text("__version__ = 'evil'\n")
    second = await offered.built(offered.stored("alpha==2.0\n"), environments=environments)
    assert says(second.environment, "beta.__version__", "beta") == "1.0"

    again = await offered.built(offered.stored("alpha==1.0\n"), environments=environments)
    assert again.environment.interpreter == first.environment.interpreter
    # What has imported the one that was damaged starts no worker in this one.
    assert again.environment != first.environment
    assert not again.report.was_there
    assert says(again.environment, "beta.__version__", "beta") == "1.0"


async def test_damage_is_found_by_reading_all_at_the_start(offered: Offered) -> None:
    """A change that keeps size and time is found by the first look of a new service."""
    held = await offered.built(offered.stored("beta==1.0\n"))
    venv = Path(held.environment.interpreter).parents[1]
    module = next(venv.glob("lib/python*/site-packages/beta.py"))
    before = module.stat()
    module.write_text(module.read_text().replace("1.0", "6.6"))
    os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = await offered.built(offered.stored("beta==1.0\n"))
    assert not again.report.was_there
    assert says(again.environment, "beta.__version__", "beta") == "1.0"


async def test_two_services_build_the_same_environment_once(offered: Offered) -> None:
    """The second one waits for the first, and takes what that has built."""
    reports = []

    async def build() -> None:
        reports.append((await offered.built(offered.stored("alpha==1.0\n"))).report)

    async with anyio.create_task_group() as services:
        services.start_soon(build)
        services.start_soon(build)
    assert sorted(report.was_there for report in reports) == [False, True]


async def test_what_is_used_least_recently_goes_and_nothing_that_is_in_use(
    offered: Offered,
) -> None:
    """Beyond the limit the oldest go first; one that another service holds stays."""
    environments, other = offered.environments(), offered.environments()
    await environments.open()
    held = await offered.built(offered.stored("alpha==1.0\n"), environments=other)
    released = await offered.built(offered.stored("alpha==2.0\n"), environments=environments)
    await released.release()
    assert await environments.prune(10**12) == []
    assert await environments.prune(1) == [released.environment.key]
    assert [one.about.key for one in await environments.kept.known()] == [held.environment.key]
    await held.release()
    assert await environments.prune(1) == [held.environment.key]


async def test_a_cache_that_was_half_emptied_is_emptied_before_it_is_used(
    offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever cut it off: part of a package would be installed as a whole one."""
    environments = offered.environments()
    await environments.open()
    await (await offered.built(offered.stored("alpha==1.0\n"), environments=environments)).release()
    with monkeypatch.context() as cut_off:
        cut_off.setattr(uv, "_CLEAN_S", 0.0)
        with pytest.raises(EnvironmentNotBuiltError, match="uv's cache was not emptied"):
            await environments.uv.clean()
    left = environments.uv.cache / "left"
    left.touch()
    await (await offered.built(offered.stored("alpha==2.0\n"), environments=environments)).release()
    assert not left.exists()
    left.touch()
    await (
        await offered.built(offered.stored("alpha==1.0\nbeta\n"), environments=environments)
    ).release()
    assert left.exists()


async def test_a_cache_that_another_uv_is_at_work_with_is_left_alone(
    offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its emptying is given up before anything was removed, so that the next build begins."""
    environments = offered.environments()
    await environments.open()
    await (await offered.built(offered.stored("alpha==1.0\n"), environments=environments)).release()
    left = environments.uv.cache / "left"
    left.touch()
    monkeypatch.setattr(uv, "_CLEAN_S", 1.0)
    with (environments.uv.cache / ".lock").open("rb") as lock:
        # As each uv that uses it does.
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(EnvironmentNotBuiltError, match="uv's cache was not emptied"):
            await environments.uv.clean()
    await (await offered.built(offered.stored("alpha==2.0\n"), environments=environments)).release()
    assert left.exists()


async def test_a_project_brings_its_own_lock(offered: Offered) -> None:
    """`uv.lock` is followed, unless it is none of this `pyproject.toml`, or names another index."""
    project = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = '
    with package_index(offered.wheels) as index:
        variables = {"UV_DEFAULT_INDEX": index.url, "UV_NO_INDEX": "", "UV_FIND_LINKS": ""}
        variables |= {"UV_OFFLINE": ""}
        environments = offered.environments(variables)
        await environments.open()
        folder = offered.folder / "project"
        folder.mkdir()
        (folder / "pyproject.toml").write_text(f'{project}["alpha==1.0"]\n')
        await environments.uv.must("", ["lock"], limit_s=60, folder=folder)
        files = {
            "pyproject.toml": f'{project}["alpha==1.0"]\n',
            "uv.lock": (folder / "uv.lock").read_text(),
        }
        held = await offered.built(offered.stored(files=files), environments=environments)
        answer = says(held.environment, "alpha.__version__, beta.__version__", "alpha, beta")
        assert answer == "1.0 1.0"
        assert held.report.found_by == "uv.lock"
        assert says(held.environment, "msgspec.__version__", "msgspec") == "0.19.0"

        other = {**files, "pyproject.toml": f'{project}["alpha==2.0"]\n'}
        with pytest.raises(EnvironmentRefusedError, match="does not match its pyproject"):
            await offered.built(offered.stored(files=other), environments=environments)
        elsewhere = {**files, "uv.lock": files["uv.lock"].replace("127.0.0.1", "127.0.0.2")}
        with pytest.raises(EnvironmentRefusedError, match="none of this service's"):
            await offered.built(offered.stored(files=elsewhere), environments=environments)
