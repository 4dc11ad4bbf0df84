"""A page of somebody else's in the browser of an operator: what it can make the browser do here."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import House
from tests.browser.signed_in import sign_in

_PAGE = """<!doctype html><title>a</title>
<iframe id="framed" src="{url}/ui/steady"></iframe><iframe name="hidden"></iframe>
<form id="form" method="post" enctype="text/plain" target="hidden" action="{url}/ui/{model}/pin">
<input name='{{"version": "1", "a":"' value='"}}'></form>
<script>
const asked = [];
const ask = (path, method, body) => asked.push(
  fetch("{url}" + path, {{ method, body, mode: body === "json" ? "cors" : "no-cors",
    credentials: "include" }}).then((reply) => `${{path}} ${{reply.type}} ${{reply.status}}`)
    .catch((fault) => `${{path}} ${{fault.name}}`));
ask("/ui/{model}/reload", "POST", "");
ask("/ui/{model}/pin", "POST", '{{"version": "1"}}');
ask("/ui/{model}/pin", "DELETE", "json");
ask("/ui/:session", "POST", '{{"key": "{key}"}}');
ask("/ui/{model}", "GET");
ask("/ui/{model}/events", "GET");
ask("/models/{model}/reload", "POST", "");
document.getElementById("form").submit();
Promise.all(asked).then((told) => {{ window.told = told; }});
</script>"""


class _Evil(BaseHTTPRequestHandler):
    page = b""

    def do_GET(self) -> None:
        """Answer with the page."""
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(self.page)))
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def elsewhere(page: str) -> Iterator[str]:
    """Serve a page on another port of this host: the same site, as browsers have it."""
    handler = type("Handler", (_Evil,), {"page": page.encode()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def changes(house: House) -> list[tuple[str, int]]:
    """Return the method and the status of each call that was to change something so far."""
    return [
        (event["method"], event["status"])
        for event in house.service.events()
        if event.get("event") == "request" and event["method"] in {"POST", "DELETE"}
    ]


@pytest.mark.parametrize("wants_keys", [True, False])
def test_a_page_of_another_port_reads_and_changes_nothing(
    browser: Browser, house: House, guarded: House, *, wants_keys: bool
) -> None:
    """Though browsers send it the cookie; the operator stays signed in, and in no frame."""
    asked, model = (guarded, "steady") if wants_keys else (house, "plain")
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{asked.url}/ui/{model}")
    if wants_keys:
        sign_in(page, asked.keys["operates"])
    page.locator("#live[data-live=on]").wait_for()
    before, kept = len(changes(asked)), context.cookies()
    evil = _PAGE.format(url=asked.url, model=model, key=asked.keys.get("looks", ""))
    with elsewhere(evil) as url:
        other = context.new_page()
        other.goto(url)
        other.wait_for_function("window.told !== undefined")
        told = other.evaluate("window.told")
        assert all("opaque 0" in one or "TypeError" in one for one in told), told
        asked.service.wait_until(lambda: len(changes(asked)) >= before + 5, "it was called")
        refused = changes(asked)[before:]
        assert {status for _, status in refused} <= {401, 403, 415}, refused
        for frame in other.frames[1:]:
            assert frame.locator("#main").count() == 0
    assert context.cookies() == kept
    page.reload()
    page.locator("#live[data-live=on]").wait_for()
    assert page.locator("#sign-out").count() == wants_keys
    context.close()
