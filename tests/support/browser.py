"""A real browser for tests of the page, which notes all that no page of ours may do."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Request

CHROMIUM = shutil.which("chromium")
WIDE, PHONE = (1280, 900), (360, 740)
LIMIT_MS = 10_000.0
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    # No proxy of this machine's is asked for loopback.
    "--no-proxy-server",
)
_WATCH = """
window.__told = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.__told.push(`policy: ${event.violatedDirective} ${event.blockedURI}`));
for (const name of ["alert", "confirm", "prompt"]) {
  window[name] = (text) => { window.__told.push(`${name}: ${text}`); };
}
"""


def launch(playwright: Playwright) -> Browser:
    """Start Debian's Chromium."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))


@dataclass
class Visitor:
    """One person's browser: a context of its own, and what its pages did that they may not."""

    context: BrowserContext
    origin: str
    asked: list[str] = field(default_factory=list)
    """Every address that was asked for."""
    faults: list[str] = field(default_factory=list)
    """Scripts that raised, words on the console, and dialogs of the browser's."""
    expected: list[str] = field(default_factory=list)
    """Beginnings of words on the console that a test brings about."""

    def open(self, path: str = "/") -> Page:
        """Open a path in a new tab."""
        page = self.context.new_page()
        page.set_default_timeout(LIMIT_MS)
        page.on("pageerror", lambda error: self.faults.append(f"raised: {error}"))
        page.on("console", lambda said: self.faults.append(f"console: {said.text}"))
        page.on("dialog", self._dismiss)
        page.goto(self.origin + path)
        return page

    def live(self, path: str = "/") -> Page:
        """Open a path, and wait until its stream of events is there."""
        page = self.open(path)
        page.locator("#live[data-live=on]").wait_for()
        return page

    def check(self) -> None:
        """Fail where a page did what it may not: see `faults`, and what left the origin."""
        for page in self.context.pages:
            self.faults += page.evaluate("window.__told ?? []")
        beginnings = tuple(f"console: {text}" for text in self.expected)
        told = [fault for fault in self.faults if not fault.startswith(beginnings or "\0")]
        assert told == []
        left = [url for url in self.asked if not url.startswith(f"{self.origin}/")]
        assert left == []
        assert self.asked

    def _dismiss(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@contextlib.contextmanager
def visiting(
    browser: Browser, origin: str, size: tuple[int, int] = WIDE, theme: Any = "light", **more: Any
) -> Iterator[Visitor]:
    """Have a visitor, whose pages have to have kept the rules in the end."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,
        reduced_motion="reduce",
        has_touch=size == PHONE,
        **more,
    )
    visitor = Visitor(context, origin)

    def note(request: Request) -> None:
        visitor.asked.append(request.url)

    context.on("request", note)
    context.add_init_script(_WATCH)
    try:
        yield visitor
        visitor.check()
    finally:
        context.close()
