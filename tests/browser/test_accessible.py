"""The page for everybody: WCAG A and AA by axe-core, by keyboard alone, on a phone."""

import re
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import House, Told, Visits
from tests.browser.signed_in import sign_in
from tests.support import axe
from tests.support.browser import PHONE, WIDE, Visitor

THEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
STATES = {
    "steady": "serving",
    "degraded": "degraded",
    "refused": "refused",
    "loading": "loading",
    "empty-01": "empty",
}
"""A model in each state."""


def pages(visitor: Visitor, guarded: House, size: tuple[int, int]) -> Iterator[tuple[str, Page]]:
    """Yield each page in each state, with its name, as somebody sees it who may do all."""
    page = visitor.open("/ui/steady")
    yield "signed out", page
    for key, rows in (("sees-none", 0), ("sees-one", 1), ("operates", 20)):
        sign_in(page, guarded.keys[key])
        page.goto(guarded.url + "/ui")
        page.locator("#live[data-live=on]").wait_for()
        expect(page.locator("#models > li")).to_have_count(rows)
        yield f"{rows} models", page
    for name, state in STATES.items():
        page.goto(f"{guarded.url}/ui/{name}")
        page.locator("#live[data-live=on]").wait_for()
        expect(page.locator("#serving .pill")).to_have_attribute("data-stands", state)
        for details in page.locator("details").all():
            details.evaluate("(details) => { details.open = true; }")
        yield state, page
    page.goto(f"{guarded.url}/ui/steady")
    page.locator("#predict-run").click()
    expect(page.locator("#predict-answer")).to_be_visible()
    page.locator("[data-action=pin]").click()
    yield "pinning", page
    page.goto(f"{guarded.url}/ui/no-such-model")
    yield "a model that there is not", page
    del size


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_axe_finds_nothing_on_any_page_in_any_state(
    guarded: House, visits: Visits, told: Told, size: tuple[int, int]
) -> None:
    """In both themes, of which one changes colours alone; no page is wider than the window."""
    script = axe.source()
    checked = passes = 0
    looked_at: set[str] = set()
    found: list[str] = []
    with visits(guarded.url, size) as visitor:
        visitor.expected += ["Failed to load resource"]
        for name, page in pages(visitor, guarded, size):
            for theme in THEMES:
                page.emulate_media(color_scheme=theme, reduced_motion="reduce")
                rules = axe.COLOURS if theme == "dark" else axe.WCAG
                result = axe.check(page, script, rules)
                checked += 1
                passes += result.passes
                looked_at |= {one["rule"] for one in result.incomplete}
                found += [f"{name}, {theme}: {one}" for one in result.violations]
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                found.append(f"{name}: {wide} px wider than the window")
    told(
        f"axe-core at {size[0]}x{size[1]}: {checked} pages, states and themes, {passes} rules "
        f"kept, {len(found)} broken; not decided by it: {', '.join(sorted(looked_at)) or 'none'}"
    )
    assert found == []


def test_the_page_is_used_by_keyboard_alone(house: House, visits: Visits) -> None:
    """From the list to a model, a prediction, and a reload that is thought better of."""
    with visits(house.url) as visitor:
        page = visitor.live("/")
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Skip to the content")
        _tab_to(page, "#models [data-model=plain] a")
        page.keyboard.press("Enter")
        page.locator("#live[data-live=on]").wait_for()
        _tab_to(page, "[data-action=reload]")
        page.keyboard.press("Enter")
        expect(page.locator("#confirm")).to_be_visible()
        # What does nothing has the focus first, and the focus stays within.
        expect(page.locator("#confirm-cancel")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#confirm")).to_be_hidden()
        expect(page.locator("[data-action=reload]")).to_be_focused()
        _tab_to(page, "#predict [data-field]")
        page.keyboard.press("Control+A")
        page.keyboard.type("21")
        page.keyboard.press("Enter")
        expect(page.locator("#predict-answer")).to_contain_text(re.compile(r'"y": (42|63)\b'))


def _tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus, which has to be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("(s) => document.activeElement.matches(s)", selector):
            seen = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert seen != "none", f"the focus on {selector} can't be seen"
            return
    raise AssertionError(f"no Tab leads to {selector}")
