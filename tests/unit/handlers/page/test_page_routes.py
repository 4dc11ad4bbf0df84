"""The page's routes: to whom they show what, and that there is none where PAGE is off."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from litestar.routes import HTTPRoute

from service.access import failed_attempts
from service.app import create_app
from service.core.states import State
from service.deployments import Deployments
from service.handlers.page.files import FOLDER
from service.page import streams
from service.settings.environment import load_settings
from tests.support.keyed import MODEL, OTHER, Keyed, keyed
from tests.support.looked_at import LookedAt
from tests.support.promotions import a_promotion

RELEASE = {
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
"""SHA-256 of each file of npm's `uplot` 1.6.32 that is here; its LICENSE is named otherwise."""


@pytest.fixture(autouse=True)
def short_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a wrong key wait no longer than it must here."""
    monkeypatch.setattr(failed_attempts, "DELAY_S", 0.001)


@asynccontextmanager
async def looked(folder: Path) -> AsyncIterator[Keyed]:
    """Have a service with keys, and a page of two models."""
    async with keyed(folder) as service:
        keepers: Any = service.deployments._keepers
        for name in (MODEL, OTHER):
            deployment = LookedAt(name, keepers[name].deployment.routes.current)
            promotion = a_promotion(3)
            deployment.memory.record(promotion)
            deployment.has(promotion.version, State.LOADING)
            keepers[name] = keepers[name]._replace(deployment=deployment)
        yield service


def test_uplot_is_as_it_was_released() -> None:
    """Nothing was changed in it."""
    found = {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in RELEASE}
    assert found == RELEASE


def paths_of(folder: Path, **settings: str) -> set[str]:
    """Return the paths that an application has for GET."""
    app = create_app(Deployments(load_settings({"CACHE_DIR": str(folder), **settings})))
    assert (app.state.looks.page is None) is (settings.get("PAGE") == "false")
    return {
        route.path
        for route in app.routes
        if isinstance(route, HTTPRoute)
        and any("GET" in handler.http_methods for handler in route.route_handlers)
    }


def test_without_the_page_there_is_nothing_of_it(tmp_path: Path) -> None:
    """PAGE=false: no route, no sampling; and nothing else is gone."""
    more = paths_of(tmp_path) - paths_of(tmp_path, PAGE="false")
    assert "/" in more
    assert all(path == "/" or path.startswith("/ui") for path in more)
    assert len(more) == 7


async def test_a_caller_sees_the_models_of_its_key(tmp_path: Path) -> None:
    """And no page names another one."""
    async with looked(tmp_path) as service:
        both = await service.client.get("/ui", headers=service.bearer("reads"))
        assert both.status_code == 200
        assert f'data-model="{MODEL}"' in both.text
        assert f'data-model="{OTHER}"' in both.text
        other = await service.client.get("/ui", headers=service.bearer("reads-other"))
        assert f'data-model="{MODEL}"' not in other.text
        assert f'data-model="{OTHER}"' in other.text
        own = await service.client.get(f"/ui/{OTHER}", headers=service.bearer("reads-other"))
        assert own.status_code == 200
        for name in (MODEL, "no-such-model"):
            page = await service.client.get(f"/ui/{name}", headers=service.bearer("reads-other"))
            assert page.status_code == 403
            assert page.headers["content-type"].startswith("text/html")
            assert "data-field" not in page.text


async def test_without_a_key_there_is_a_page_that_says_so(tmp_path: Path) -> None:
    """With the challenge that programs get, and nothing of any model."""
    async with looked(tmp_path) as service:
        for path in ("/", "/ui", f"/ui/{MODEL}"):
            page = await service.client.get(path)
            assert page.status_code == 401
            assert page.headers["www-authenticate"].startswith("Bearer")
            assert page.headers["content-type"].startswith("text/html")
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert f'data-model="{MODEL}"' not in page.text


async def test_one_page_too_many_is_told_when_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its stream begins."""
    async with looked(tmp_path) as service:
        monkeypatch.setattr(streams, "MOST_STREAMS", 0)
        for path in ("/ui/:events", f"/ui/{MODEL}/events"):
            answer = await service.client.get(path, headers=service.bearer("reads"))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_stream_ends_with_its_callers_own_time(tmp_path: Path) -> None:
    """It tells until then what there is."""
    async with looked(tmp_path) as service:
        headers = service.bearer("reads") | {"x-request-timeout-ms": "50"}
        answer = await service.client.get(f"/ui/{MODEL}/events", headers=headers)
        assert answer.status_code == 200
        assert "event: part" in answer.text
        assert service.app.state.looks.page.streams.open == 0
