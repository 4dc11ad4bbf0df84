from pathlib import Path

import anyio
import pytest

from service.core.errors import NoVersionError
from service.core.versions import StoredVersion
from service.serving.model import LoadedModel
from service.serving.proof import Proof
from service.serving.routes import Routes
from service.workers.messages import LoadReply, Timing
from tests.support.fake_models import BATCHING, INTERFACE, FakePool, Fate
from tests.support.fake_source import a_version

PROOF = Proof()


def a_model(number: int, proof: Proof | None = PROOF) -> LoadedModel:
    """Return a loaded version without processes."""
    stored = StoredVersion(a_version(number), Path("nowhere"), "digest")
    loaded = LoadReply({}, "3", "3.11", 0.1)
    model = LoadedModel(stored, INTERFACE, loaded, FakePool(stored, Fate()), BATCHING)
    if proof is not None:
        model.open_to_traffic(proof)
    return model


async def test_routes_without_a_version_have_no_lease_to_give() -> None:
    """The caller is told that no version can answer."""
    routes = Routes()
    assert routes.current is None
    with pytest.raises(NoVersionError), routes.lease():
        pass


async def test_a_lease_keeps_its_version_over_a_swap() -> None:
    """A request before it has the old one to the end, one after it the new one."""
    routes, old, new = Routes(), a_model(1), a_model(2)
    assert routes.swap(old) is None
    with routes.lease() as before:
        assert routes.swap(new) is old
        with routes.lease() as after:
            assert (before, after) == (old, new)
            assert (old.leases, new.leases) == (1, 1)
    assert (old.leases, new.leases) == (0, 0)


async def test_a_version_without_a_proof_never_serves() -> None:
    """Invariant 3, where a version begins to serve: what served before goes on."""
    routes, old, unproved = Routes(), a_model(1), a_model(2, proof=None)
    routes.swap(old)
    with pytest.raises(RuntimeError, match="version 2 was not proved"):
        routes.swap(unproved)
    assert routes.current is old
    assert unproved.serving_since is None


async def test_a_model_is_opened_to_traffic_as_it_was_proved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests are merged only if it was shown to be row-wise, and are expected to take as long."""
    learned: list[tuple[Timing, ...]] = []
    model = a_model(1, proof=None)
    monkeypatch.setattr(model.batcher, "learn", learned.append)
    proof = Proof(row_wise=True, timings=(Timing(1, 20.0, 4),))
    model.open_to_traffic(proof)
    assert (model.batcher.row_wise, learned) == (True, [proof.timings])
    assert not a_model(2).batcher.row_wise


async def test_a_version_is_drained_once_its_last_lease_is_gone() -> None:
    """However many there are, and in whatever order they go."""
    routes, model = Routes(), a_model(1)
    routes.swap(model)
    await model.drained()
    drained = anyio.Event()

    async def drain() -> None:
        await model.drained()
        drained.set()

    first, second = routes.lease(), routes.lease()
    async with anyio.create_task_group() as waiting:
        first.__enter__()
        second.__enter__()
        waiting.start_soon(drain)
        await anyio.lowlevel.checkpoint()
        first.__exit__(None, None, None)
        await anyio.lowlevel.checkpoint()
        assert not drained.is_set()
        second.__exit__(None, None, None)
        with anyio.fail_after(1):
            await drained.wait()


async def test_a_request_that_fails_gives_its_lease_back() -> None:
    """Else the version would never be drained."""
    routes, model = Routes(), a_model(1)
    routes.swap(model)
    with pytest.raises(ZeroDivisionError), routes.lease():
        raise ZeroDivisionError
    assert model.leases == 0


async def test_a_version_notes_since_when_it_serves() -> None:
    """One that never did has no such time; routes without a version serve nothing."""
    routes, model = Routes(), a_model(1)
    assert model.serving_since is None
    routes.swap(model)
    assert model.serving_since is not None
    assert routes.swap(None) is model
    assert routes.current is None
