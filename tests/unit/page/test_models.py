"""How a model stands, in words."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.core.states import State
from service.page.form import form_of
from service.page.models import _site, key_of, summary_of, view_of
from service.serving.model import LoadedModel
from tests.support.fake_models import CONTRACT
from tests.support.fake_source import a_version
from tests.support.fake_workers import FakeWorkers
from tests.support.looked_at import NOW, LookedAt
from tests.support.promotions import a_promotion
from tests.support.served_version import serving


@asynccontextmanager
async def served() -> AsyncIterator[tuple[LookedAt, LoadedModel]]:
    """Have a deployment with a version that serves."""
    async with serving(FakeWorkers()) as (_, model):
        yield LookedAt("m", model), model


def stands(deployment: LookedAt) -> tuple[str, str, str]:
    """Return how it stands, and what is said of the registry."""
    summary = summary_of(deployment)
    return summary.stands, summary.registry.mark, summary.registry.says


def test_before_anything_is_known() -> None:
    """The registry was not asked yet, and nothing serves."""
    assert stands(LookedAt("m")) == ("empty", "quiet", "was not asked yet")


def test_what_the_registry_says_without_a_version_that_serves() -> None:
    """Nothing promoted; one that loads; one that was refused; and one that can't be asked."""
    deployment = LookedAt("m")
    deployment.look(seen_s=1.0, seen_at=NOW)
    assert stands(deployment) == ("empty", "warn", "promotes no version")
    version = a_version(3)
    deployment.look(promoted=version)
    deployment.has(version, State.LOADING)
    assert stands(deployment) == ("loading", "busy", "promotes version 3")
    deployment.look(refused={version: "smoke: no"}, versions=())
    assert stands(deployment) == ("refused", "bad", "promotes version 3, which was refused")
    assert "smoke: no" in summary_of(deployment).why
    deployment.look(error="no route")
    assert stands(deployment)[1:] == ("warn", "can't be asked")


async def test_what_it_says_of_a_version_that_serves() -> None:
    """It agrees; promotes another one; or another one is pinned."""
    async with served() as (deployment, model):
        deployment.look(promoted=model.version, seen_s=1.0, seen_at=NOW)
        assert stands(deployment)[1:] == ("good", "agrees")
        deployment.look(promoted=a_version(9))
        assert stands(deployment)[1:] == ("busy", "promotes version 9")
        deployment.look(pin=model.version)
        number = model.version.version
        assert stands(deployment)[1:] == ("warn", f"promotes version 9, but {number} is pinned")


async def test_a_view_has_the_version_and_its_links() -> None:
    """Without the credentials that the service asks the registry with."""
    async with served() as (deployment, _):
        view = view_of(deployment)
    assert view.serving is not None
    assert view.serving.version_url.startswith("http://mlflow:5000/#/models/")
    assert "secret" not in repr(view)
    assert view.engines is not None


async def test_requests_alone_make_no_other_view() -> None:
    """What a page is sent does not grow with the load."""
    async with served() as (deployment, model):
        before = view_of(deployment)
        model.answered += 1_000
        model.leases += 1
        assert view_of(deployment) == before
        model.leases -= 1


def test_a_promotion_under_way_is_in_the_summary() -> None:
    """With its steps, until it is over."""
    deployment = LookedAt("m")
    promotion = a_promotion(3)
    deployment.memory.record(promotion)
    deployment.has(promotion.version, State.PROVING, "gate smoke")
    summary = summary_of(deployment)
    assert summary.under_way is not None
    assert (summary.stands, summary.under_way.told) == ("loading", "gate smoke")
    deployment.has(promotion.version, State.FAILED)
    assert summary_of(deployment).under_way is None


@pytest.mark.parametrize(
    ("uri", "site"),
    [
        ("https://user:word@mlflow.example.com/base/?token=x", "https://mlflow.example.com/base"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("sqlite:///mlflow.db", ""),
        ("javascript:alert(1)", ""),
        ("databricks", ""),
        ("http://[", ""),
        ("http://host:port", ""),
        ("", ""),
    ],
)
def test_only_what_is_spoken_with_by_http_has_links(uri: str, site: str) -> None:
    """Never with credentials."""
    assert _site(uri) == site


def test_a_key_tells_models_apart_whatever_they_are_called() -> None:
    """It has nothing in it that an id or a selector would not."""
    names = ["a", "A", 'x" y', "größe", "\ud800"]
    keys = {key_of(name) for name in names}
    assert len(keys) == len(names)
    assert all(key.isalnum() for key in keys)


def test_a_form_has_the_contracts_fields_and_the_example() -> None:
    """A body that is no example leaves them empty."""
    form = form_of(CONTRACT, "3", b'{"instances": [{"a": 1.5}]}')
    assert [(one.name, one.kind, one.value) for one in form.fields] == [("a", "number", "1.5")]
    assert '"a": 1.5' in form.body
    blank = form_of(CONTRACT, "3", b"no json")
    assert [one.value for one in blank.fields] == [""]
