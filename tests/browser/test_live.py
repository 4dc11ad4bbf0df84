"""A page that stays open: what is promoted, refused or restarted meanwhile shows on it."""

from datetime import datetime
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HOSTILE, REASON, House, Told, Visits
from tests.support.browser import LIMIT_MS
from tests.support.python_models import register_picky
from tools.mlflow_server import MlflowServer

SHOWN_WITHIN_S = 2.0
"""What is promised, from a promotion's end to the page that shows it."""
_NOTE = """(version) => {
  const shown = document.getElementById("version");
  const note = () => { if (shown.textContent === version) window.seenAt ??= Date.now() / 1000; };
  new MutationObserver(note).observe(document, { subtree: true, childList: true,
    characterData: true });
}"""

_HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
"""What a browser does where another tab is looked at: one without a window never does."""


def line_of(page: Page, version: str) -> Locator:
    """Return the newest line of a version in the story."""
    return page.locator(f"#story li[data-version='{version}']").first


def test_a_promotion_shows_on_the_open_page(
    house: House, mlflow_server: MlflowServer, visits: Visits, told: Told
) -> None:
    """Within two seconds of its end, with its gates; the list of all models shows it as well."""
    name = house.registered["plain"]
    with visits(house.url) as visitor:
        page, models = visitor.live("/ui/plain"), visitor.live("/")
        version = mlflow_server.register_tiny(name, 3.0)
        page.evaluate(_NOTE, version)
        mlflow_server.set_alias(name, "champion", version)
        expect(page.locator("#version")).to_have_text(version, timeout=LIMIT_MS)
        seen_s = page.evaluate("window.seenAt")
        info = house.service.get("/models/plain/info").json()
        took_s = seen_s - datetime.fromisoformat(info["serving"]["since"]).timestamp()
        told(f"a promotion was shown {took_s:.2f} s after it served")
        assert took_s < SHOWN_WITHIN_S
        line = line_of(page, version)
        expect(line).to_have_attribute("data-outcome", "serving")
        assert line.locator("[data-gate=smoke][data-outcome=pass]").count() == 1
        row = models.locator("#models [data-model=plain]")
        expect(row.locator(".number")).to_have_text(f"v{version}")


def test_a_refused_version_shows_its_reason(
    house: House, mlflow_server: MlflowServer, visits: Visits
) -> None:
    """As text, whatever it says; what serves goes on serving, and says that it is not wanted."""
    name = house.registered["plain"]
    before = house.service.get("/models/plain/info").json()["model_version"]
    with visits(house.url) as visitor:
        page = visitor.live("/ui/plain")
        version = register_picky(mlflow_server, name, load_fault=REASON)
        mlflow_server.set_alias(name, "champion", version)
        line = line_of(page, version)
        expect(line).to_have_attribute("data-outcome", "refused")
        assert REASON in line.inner_text()
        assert line.locator("[data-gate=load][data-outcome=refuse]").count() == 1
        expect(page.locator("#version")).to_have_text(before)
        expect(page.locator("#serving [data-stands=degraded]").first).to_be_visible()
        assert page.locator("#main script, #main img").count() == 0
        mlflow_server.set_alias(name, "champion", before)
        expect(page.locator("#serving .pill")).to_have_attribute("data-stands", "serving")


def test_no_name_tag_or_answer_becomes_html(house: House, visits: Visits) -> None:
    """Of a model, its columns, its tags and its predictions; curl and Python have them as texts."""
    with visits(house.url) as visitor:
        models = visitor.live("/")
        row = models.locator("#models li", has_text=HOSTILE)
        assert HOSTILE in row.inner_text()
        row.get_by_role("link").first.click()
        page = models
        page.locator("#live[data-live=on]").wait_for()
        assert page.url.endswith(f"/ui/{quote(HOSTILE, safe='')}") or HOSTILE in page.title()
        assert page.locator("h1").inner_text() == HOSTILE
        page.locator("#predict-run").click()
        answer = page.locator("#predict-answer")
        expect(answer).to_contain_text("<svg onload=alert(2)>")
        for opened in page.locator("details").all():
            opened.evaluate("(details) => { details.open = true; }")
        assert "onerror" in page.locator("#predict-curl").inner_text()
        assert page.locator("#main script, #main img, #main pre svg").count() == 0
        assert (
            page.evaluate("document.querySelectorAll('[onerror],[onload],[onclick]').length") == 0
        )


def test_more_pages_than_a_browser_has_connections_are_open(house: House, visits: Visits) -> None:
    """One that nobody looks at rests, since a browser keeps six to a host, and later goes on."""
    with visits(house.url) as visitor:
        pages = []
        for _ in range(8):
            pages.append(visitor.live("/ui/plain"))
            pages[-1].evaluate(_HIDE, arg=True)
        first = pages[0]
        first.evaluate("document.getElementById('live').dataset.live = 'wait'")
        first.evaluate(_HIDE, arg=False)
        first.locator("#live[data-live=on]").wait_for()


def test_a_service_that_restarts_is_found_again(house: House, visits: Visits) -> None:
    """The page says that there is no connection, and later shows what the new process serves."""
    with visits(house.url) as visitor:
        visitor.expected += ["Failed to load resource"]
        page = visitor.live("/ui/plain")
        version = page.locator("#version").inner_text()
        house.stop()
        page.locator("#live[data-live=off]").wait_for()
        house.start()
        page.locator("#live[data-live=on]").wait_for(timeout=60_000)
        expect(page.locator("#version")).to_have_text(version, timeout=60_000)
        house.service.wait_healthy()
