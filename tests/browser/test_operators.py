"""Who has signed in: what a key shows and lets do, behind a confirmation, and when it ends."""

import re
from typing import Any

from playwright.sync_api import Page, expect

from service.access.keys_file import add_key, revoke_key
from service.access.principal import Scope
from tests.browser.conftest import House, Visits
from tests.browser.signed_in import enter, sign_in


def confirm(page: Page, action: str, **filled: str) -> None:
    """Do what an operator may, and wait for its result."""
    page.locator(f"[data-action={action}]").click()
    expect(page.locator("#confirm")).to_be_visible()
    for name, value in filled.items():
        page.locator(f"#confirm-{name}").fill(value)
    page.locator("#confirm-run").click()


def cookies(page: Page) -> list[Any]:
    """Return the cookies of a browser, which no script of its pages sees."""
    assert page.evaluate("document.cookie") == ""
    return list(page.context.cookies())


def test_nothing_is_shown_before_somebody_signs_in(guarded: House, visits: Visits) -> None:
    """Not the names of models either; a wrong key is told so, and leaves no cookie."""
    with visits(guarded.url) as visitor:
        visitor.expected += ["Failed to load resource"]
        page = visitor.open("/ui/steady")
        assert guarded.registered["steady"] not in page.content()
        enter(page, "hsk_wrong")
        expect(page.locator("#sign-in-told")).to_have_text(re.compile("no key of this service"))
        assert cookies(page) == []
        page.goto(f"{guarded.url}/")
        assert "degraded" not in page.content()
        sign_in(page, guarded.keys["looks"])
        expect(page.locator("#models > li")).to_have_count(20)
        [cookie] = cookies(page)
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/ui")


def test_an_operator_reloads_pins_and_unpins(guarded: House, visits: Visits) -> None:
    """Each behind a dialog that says what it does; nothing happens before it is confirmed."""
    with visits(guarded.url) as visitor:
        visitor.expected += ["Failed to load resource"]
        page = visitor.open("/ui/steady")
        sign_in(page, guarded.keys["operates"])
        page.locator("#live[data-live=on]").wait_for()
        expect(page.locator("[data-action=unpin]")).to_be_hidden()
        page.locator("[data-action=pin]").click()
        expect(page.locator("#confirm")).to_contain_text("steady")
        page.locator("#confirm-cancel").click()
        expect(page.locator("#confirm")).to_be_hidden()
        confirm(page, "reload")
        expect(page.locator("#confirm-told")).to_have_text(re.compile("version 1 served already"))
        page.locator("#confirm-cancel").click()
        confirm(page, "pin", version="7")
        expect(page.locator("#confirm-told")).to_have_text(re.compile("neither the registry nor"))
        page.locator("#confirm-cancel").click()
        confirm(page, "pin", version="1")
        expect(page.locator("#confirm-told")).to_have_text(re.compile("is pinned and serves"))
        page.locator("#confirm-cancel").click()
        confirm(page, "unpin")
        expect(page.locator("#confirm-told")).to_have_text(re.compile("followed again"))
        page.locator("#confirm-cancel").click()
        expect(page.locator("[data-action=unpin]")).to_be_hidden()
    header = {"authorization": f"Bearer {guarded.keys['operates']}"}
    info = guarded.service.client.get("/models/steady/info", headers=header).json()
    assert info["pin"] is None


def test_a_key_shows_what_it_is_for(guarded: House, visits: Visits) -> None:
    """One to predict has the form and no more, one to read no form, and neither an action."""
    with visits(guarded.url) as visitor:
        visitor.expected += ["Failed to load resource"]
        page = visitor.open("/ui/steady")
        sign_in(page, guarded.keys["predicts"])
        page.locator("#predict-run").click()
        expect(page.locator("#predict-answer")).to_contain_text('"model_version": "1"')
        assert page.locator("#story").count() == 0
        assert page.locator("[data-action]").count() == 0
        sign_in(page, guarded.keys["looks"])
        page.locator("#live[data-live=on]").wait_for()
        assert page.locator("#predict-run").count() == 0
        assert page.locator("[data-action]").count() == 0


def test_a_session_ends_with_its_key(guarded: House, visits: Visits) -> None:
    """A page that is open says that it is signed out, and shows nothing new."""
    file = guarded.folder / "keys.json"
    key = add_key(file, "leaves", (Scope.READ,), None)
    header = {"authorization": f"Bearer {key}"}
    client = guarded.service.client
    guarded.service.wait_until(
        lambda: client.get("/models", headers=header).status_code == 200, "the key is known"
    )
    with visits(guarded.url) as visitor:
        visitor.expected += ["Failed to load resource"]
        page = visitor.open("/ui/steady")
        sign_in(page, key)
        page.locator("#live[data-live=on]").wait_for()
        revoke_key(file, "leaves")
        # It is loaded anew, as one that nobody has signed in on.
        page.locator("#sign-in-key").wait_for(state="attached")
        expect(page.locator("#serving")).to_have_count(0)


def test_where_no_key_is_wanted_a_program_of_this_machine_may_change(
    house: House, visits: Visits
) -> None:
    """So may the page in a browser here, which nobody signs in on."""
    with visits(house.url) as visitor:
        page = visitor.live("/ui/plain")
        assert page.locator("#sign-in-open").count() == 0
        confirm(page, "reload")
        expect(page.locator("#confirm-told")).to_have_text(re.compile("served already|now serves"))
        assert cookies(page) == []
