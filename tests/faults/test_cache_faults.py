"""CACHE_DIR is full, in the way, shared or another's; or all there is."""

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from service.core.versions import ModelVersion
from service.store.artifact_store import ArtifactStore
from tests.faults.conftest import Rig
from tests.support import followed, footprint
from tests.support.fake_source import a_version
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.followed import ALIAS
from tests.support.footprint import Footprint
from tools import running_service
from tools.load import STEADY_S, Hammer
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

FACTORS = {"1": 2.0, "2": 3.0}
LONG = bool(os.environ.get("HOTSWAP_LONG_FAULTS"))
SMALL_FILE_BYTES = 64
CLIENTS = 2


@pytest.fixture
def name(mlflow_server: MlflowServer) -> str:
    """Register two versions, the first one promoted."""
    return followed.register_tiny(mlflow_server, "cached", *FACTORS.values())


def started(folder: Path, uri: str, name: str, **settings: Any) -> RunningService:
    """Start a service without waiting until it is healthy."""
    return running_service.start(
        folder,
        uri,
        wait=False,
        model_uri=followed.pointer(name),
        keep_warm=False,
        probation_s=0.1,
        registry_timeout_s=2,
        **settings,
    )


@contextlib.contextmanager
def start(folder: Path, uri: str, name: str, **settings: Any) -> Iterator[RunningService]:
    """Do so; nothing of it stays afterwards."""
    with footprint.ending_clean(started(folder, uri, name, **settings)) as service:
        yield service


def why_unhealthy(service: RunningService) -> str:
    """Return the error that `/health` tells with 503, '' where it is healthy."""
    answer = service.get("/health")
    return answer.json()["error"] if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else ""


@contextlib.contextmanager
def exact_traffic(
    *services: RunningService, usual: Footprint, factors: dict[str, float] = FACTORS
) -> Iterator[None]:
    """Send requests meanwhile, and then see that each service takes no more than is usual.

    Each answer is that of the version that it names. 0 requests fail from the first answer on;
    before, where nothing can serve yet, each gets a 503.
    """
    with contextlib.ExitStack() as stack:
        hammers = [
            stack.enter_context(Hammer(service.url, CLIENTS, pause_s=STEADY_S))
            for service in services
        ]
        for service, hammer in zip(services, hammers, strict=True):
            service.wait_until(partial(_all_asked, hammer), "clients send")
        yield
        for service, hammer in zip(services, hammers, strict=True):
            service.wait_until(partial(_all_answered, hammer), "answers")
    for service, hammer in zip(services, hammers, strict=True):
        assert hammer.failed_since_served == []
        assert {seen.status for seen in hammer.failed} <= {httpx.codes.SERVICE_UNAVAILABLE}
        assert hammer.mixed(factors) == []
        footprint.wait_back_to(service, usual)


def _all_asked(hammer: Hammer) -> bool:
    return all(hammer.seen)


def _all_answered(hammer: Hammer) -> bool:
    return all(seen[-1].status == httpx.codes.OK for seen in hammer.seen)


def test_cache_dir_unwritable(tmp_path: Path) -> None:
    """A CACHE_DIR that can't be written to ends the start with one line and status 2."""
    (tmp_path / "file").touch()
    ended = subprocess.run(
        [sys.executable, "-m", "service", "serve"],
        env={**os.environ, "CACHE_DIR": str(tmp_path / "file" / "cache"), "MODEL_NAME": "m"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "CACHE_DIR" in line
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process from outside")
def test_disk_full(rig: Rig) -> None:
    """A disk that takes no more: the incumbent serves, and the promotion lands once there is room.

    As a limit on the size of the files that the fetching process may write: from within it is a
    write that fails in mid-file.
    """
    fetcher = psutil.Process(rig.service.started_pids("registry-fetch")[-1])
    _, most = fetcher.rlimit(psutil.RLIMIT_FSIZE)
    with rig.exact_traffic():
        fetcher.rlimit(psutil.RLIMIT_FSIZE, (SMALL_FILE_BYTES, most))
        try:
            wanted = _promote_in_vain(rig, 101.0, "File too large")
        finally:
            fetcher.rlimit(psutil.RLIMIT_FSIZE, (most, most))
        rig.service.wait_serving(wanted)


def test_cache_dir_breaks_while_it_runs(rig: Rig) -> None:
    """What can't be stored is tried again until it can; what serves needs no disk."""
    tmp, aside = rig.service.cache_dir / "tmp", rig.service.cache_dir / "tmp-aside"
    with rig.exact_traffic():
        tmp.rename(aside)
        tmp.touch()
        try:
            wanted = _promote_in_vain(rig, 102.0, "CACHE_DIR")
        finally:
            tmp.unlink()
            aside.rename(tmp)
        rig.service.wait_serving(wanted)


def _promote_in_vain(rig: Rig, factor: float, told: str) -> str:
    """Promote a version that can't be stored, and wait until that was tried twice."""
    serving, logged = rig.serving(), len(rig.service.events())
    wanted = rig.promote_new(factor)

    def tries() -> list[dict[str, Any]]:
        return rig.logged_since(logged, "promotion will be tried again")

    rig.service.wait_until(lambda: len(tries()) > 1, "tried twice")
    assert told in tries()[0]["reason"]
    assert rig.serving() == serving
    return wanted


async def test_disk_full_leaves_nothing_half_done(tmp_path: Path) -> None:
    """A fetch that runs out of disk leaves neither a version nor a temporary file."""
    is_full = True

    async def fetch(_: ModelVersion, folder: Path) -> Path:
        (folder / "MLmodel").write_text("half of ")
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return folder

    store = ArtifactStore(tmp_path, 3, fetch)
    await store.open()
    with pytest.raises(OSError, match="No space"):
        await store.ensure(a_version(1))
    assert await store.known() == []
    assert list((tmp_path / "tmp").iterdir()) == []
    is_full = False
    assert (await store.ensure(a_version(1))).version == a_version(1)


def test_registry_and_store_down_at_start(rig: Rig, name: str, tmp_path: Path) -> None:
    """With nothing on disk it says why and waits; else the last known good version serves.

    Requests get 503 until the first version serves; from then on 0 fail.
    """
    with FaultProxy(rig.server.uri) as proxy:
        with proxy.failing(Fault.REFUSED), start(tmp_path, proxy.uri, name) as empty:
            empty.wait_until(lambda: "refused" in why_unhealthy(empty), "says why")
            with exact_traffic(empty, usual=rig.usual):
                proxy.heal()
                with proxy.failing(Fault.FILES_DOWN):
                    empty.wait_until(lambda: "500" in why_unhealthy(empty), "says why")
                empty.wait_serving(1)
                empty.wait_until(empty.knows_good, "known to be good")
        rig.server.set_alias(name, ALIAS, 2)
        with proxy.failing(Fault.REFUSED), start(tmp_path, proxy.uri, name) as again:
            again.wait_until(lambda: again.get("/health/live"), "it answers")
            with exact_traffic(again, usual=rig.usual):
                again.wait_serving(1)
                assert "refused" in again.get("/health").json()["degraded"]
                proxy.heal()
                with proxy.failing(Fault.FILES_DOWN):
                    again.wait_until(lambda: proxy.met, "tried")
                    health = again.get("/health").json()
                    assert health["model_version"] == "1"
                    assert "version 2" in health["degraded"]
                again.wait_serving(2)


def test_another_registry_behind_the_same_cache_dir(rig: Rig, name: str, tmp_path: Path) -> None:
    """Its version 1 is not mistaken for ours, nor its pin for ours, not even while ours is away.

    Requests get 503 until ours is back; from then on 0 fail.
    """
    with FaultProxy(rig.server.uri) as theirs, start(tmp_path, theirs.uri, name) as first:
        first.wait_serving(1)
        with exact_traffic(first, usual=rig.usual):
            first.post("/model/pin", {"version": "1"}).raise_for_status()
            first.wait_until(first.knows_good, "known to be good")
    rig.server.delete_model(name)
    rig.server.register_tiny(name, 5.0)
    rig.server.set_alias(name, ALIAS, 1)
    with (
        FaultProxy(rig.server.uri) as ours,
        ours.failing(Fault.REFUSED),
        start(tmp_path, ours.uri, name) as second,
    ):
        second.wait_until(lambda: "refused" in why_unhealthy(second), "says why")
        with exact_traffic(second, usual=rig.usual, factors={"1": 5.0}):
            ours.heal()
            second.wait_serving(1)
            assert second.get("/health").json()["pinned_version"] is None


def test_two_services_on_one_cache_dir(rig: Rig, name: str, tmp_path: Path) -> None:
    """Both follow through fetching and pruning; 0 requests fail, no version that serves goes."""
    rig.server.register_tiny(name, 4.0)
    factors = {**FACTORS, "3": 4.0}
    shared: dict[str, Any] = {"cache_dir": tmp_path / "cache", "keep_versions": 1}
    # The folders for temporary files are shared, too.
    usual = replace(rig.usual, temporary_files=2 * rig.usual.temporary_files)
    with (
        start(tmp_path / "one", rig.server.uri, name, **shared) as one,
        # While the other one runs, its files are in the same folder: nothing stays of either.
        started(tmp_path / "two", rig.server.uri, name, **shared) as two,
    ):
        for service in (one, two):
            service.wait_serving(1)
        with exact_traffic(one, two, usual=usual, factors=factors):
            # The other one goes on serving what this one prunes after.
            for version in ("2", "3", "1"):
                rig.server.set_alias(name, ALIAS, version)
                for service in (one, two):
                    service.wait_serving(version)
            versions = tmp_path / "cache" / "versions"
            one.wait_until(lambda: len(list(versions.iterdir())) <= 2, "pruned")
            assert list(versions.glob(f"{name}-1-*/model/MLmodel")) != []
        family = two.family()
        two.stop()
        footprint.all_gone(family)
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []


@pytest.mark.parametrize("how", ["truncated", "folder"] if LONG else ["truncated"])
def test_a_damaged_pin(rig: Rig, name: str, tmp_path: Path, how: str) -> None:
    """It fails safe: the last known good version serves until somebody pins or unpins; 0 fail."""
    with start(tmp_path, rig.server.uri, name) as first:
        first.wait_serving(1)
        first.post("/model/pin", {"version": "1"}).raise_for_status()
        first.wait_until(first.knows_good, "known to be good")
        rig.server.set_alias(name, ALIAS, 2)
        (file,) = (first.cache_dir / "pointers").glob("*.json")
    if how == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    with start(tmp_path, rig.server.uri, name) as again:
        again.wait_until(lambda: again.get("/health/live"), "it answers")
        with exact_traffic(again, usual=rig.usual):
            again.wait_serving(1)
            again.wait_until(lambda: again.info()["registry"]["promoted_version"] == "2", "seen")
            assert again.post("/reload-model").status_code == httpx.codes.CONFLICT
            health = again.get("/health").json()
            assert (health["model_version"], health["pinned_version"]) == ("1", None)
            assert "unknown whether a version is pinned" in health["degraded"]
            assert again.client.delete("/model/pin").json()["model_version"] == "2"
            again.wait_until(lambda: again.get("/health").json()["degraded"] is None, "all well")
        assert list(file.parent.glob("*.unreadable-*")) != []


def test_a_pin_beside_another_service(rig: Rig, name: str, tmp_path: Path) -> None:
    """What another service on the same CACHE_DIR writes leaves a pin; it takes it up. 0 fail."""
    rig.server.register_unruly(name, 4.0, on_load="raise")
    shared = tmp_path / "cache"
    usual = replace(rig.usual, temporary_files=2 * rig.usual.temporary_files)
    with (
        start(tmp_path / "one", rig.server.uri, name, cache_dir=shared) as one,
        started(tmp_path / "two", rig.server.uri, name, cache_dir=shared) as two,
    ):
        for service in (one, two):
            service.wait_serving(1)
        with exact_traffic(one, two, usual=usual):
            rig.server.set_alias(name, ALIAS, 3)
            for service in (one, two):
                service.wait_until(partial(_says_refused, service), "refused")
            one.post("/model/pin", {"version": "2"}).raise_for_status()
            two.wait_serving(2)
            assert two.get("/health").json()["pinned_version"] == "2"
        family = two.family()
        two.stop()
        footprint.all_gone(family)
    with start(tmp_path / "one", rig.server.uri, name, cache_dir=shared) as again:
        again.wait_serving(2)
        assert again.get("/health").json()["pinned_version"] == "2"
        again.client.delete("/model/pin")
        again.wait_until(partial(_says_refused, again), "still refused")


def _says_refused(service: RunningService) -> bool:
    return "version 3 was refused" in service.get("/health").text
