"""How somebody signs in on a page."""

from playwright.sync_api import Page, expect


def sign_in(page: Page, key: str) -> None:
    """Sign in with a key on the page that is open, as whoever was signed in before or not."""
    if page.locator("#sign-out").count():
        page.locator("#sign-out").click()
        page.locator("#sign-out").wait_for(state="detached")
        page.wait_for_load_state()
    enter(page, key)
    page.locator("#sign-out").wait_for()
    # Its scripts have run then.
    page.wait_for_load_state()


def enter(page: Page, key: str) -> None:
    """Enter a key, right or wrong."""
    if page.locator("#sign-in-open").count():
        page.locator("#sign-in-open").click()
    expect(page.locator("#sign-in-key")).to_be_visible()
    page.locator("#sign-in-key").fill(key)
    page.locator("#sign-in-run").click()
