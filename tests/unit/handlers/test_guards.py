"""Who may change what is served, and under which names the service may be called."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar, get, post
from litestar.routes import HTTPRoute

from service.access.principal import Permission
from service.access.sessions import Sessions
from service.access.sources import open_gate
from service.app import create_app
from service.core.errors import ServiceError
from service.deployments import Deployments
from service.handlers import problems
from service.handlers.guards import ANY_HOST, known_names, permitted
from service.handlers.host_names import HostNames
from service.handlers.permissions import PERMISSION
from service.handlers.session_cookie import SessionCookie
from service.settings.environment import load_settings

TOKEN = "let-me-in-0123456789"  # noqa: S105 - of this test alone
LOCAL, AFAR = ("127.0.0.1", 50_000), ("192.0.2.7", 50_000)
HOME = "127.0.0.1:8000"


@post("/change", opt={PERMISSION: Permission.ADMIN}, status_code=200)
async def change() -> str:
    """Stand for what changes what is served."""
    return "changed"


@get("/read", opt={PERMISSION: Permission.READ})
async def read() -> str:
    """Stand for what is read."""
    return "read"


@get("/health", opt={ANY_HOST: True, PERMISSION: Permission.OPEN})
async def health() -> str:
    """Stand for what probes ask."""
    return "healthy"


async def ask(
    method: str,
    path: str,
    headers: Sequence[tuple[str, str]] = (),
    *,
    host: str | None = HOME,
    client: tuple[str, int] = LOCAL,
    called: str = "127.0.0.1",
    bound: str = "127.0.0.1",
    **variables: str,
) -> int:
    """Ask as uvicorn would have the application asked, with HOST=`bound`; return the status."""
    given_settings = {"HOST": bound, **{key.upper(): value for key, value in variables.items()}}
    settings = load_settings(given_settings).service
    app = Litestar(
        [change, read, health],
        guards=[permitted, known_names],
        exception_handlers={ServiceError: problems.answer_service_error},
        logging_config=None,
        openapi_config=None,
    )
    app.state.settings = settings
    app.state.gate = open_gate(settings)
    app.state.session_cookie = SessionCookie(Sessions())
    app.state.host_names = HostNames(settings.host, settings.allowed_hosts)
    given = [*headers, *([("host", host)] if host is not None else [])]

    async def without_its_own_host(scope: Any, receive: Any, send: Any) -> None:
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in given]
        scope["server"] = (called, 8000)
        changed: Any = {**scope, "headers": raw}
        await app(changed, receive, send)

    transport = httpx.ASGITransport(without_its_own_host, client=client)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as caller:
        return (await caller.request(method, path)).status_code


def bearer(token: str) -> list[tuple[str, str]]:
    """Return the header that brings a token."""
    return [("authorization", f"Bearer {token}")]


# -- with a token -------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [LOCAL, AFAR, ("::1", 1)])
async def test_a_token_that_is_set_is_wanted_from_everywhere(client: tuple[str, int]) -> None:
    """Loopback as well: a proxy, `ssh -L` and a port-forward come from there."""
    for headers in ([], bearer("another"), [("authorization", TOKEN)], bearer(TOKEN) * 2):
        status = await ask("POST", "/change", headers, client=client, admin_token=TOKEN)
        assert status == 401
    right = [bearer(TOKEN), [("authorization", f"bearer  {TOKEN}")]]
    for headers in right:
        status = await ask("POST", "/change", headers, client=client, admin_token=TOKEN)
        assert status == 200


async def test_the_token_opens_under_any_name_and_through_any_proxy() -> None:
    """A web page can't send it, so nothing else is asked."""
    headers = [*bearer(TOKEN), ("x-forwarded-for", "192.0.2.7"), ("origin", "https://ops.example")]
    for path in ("/change", "/read"):
        method = "POST" if path == "/change" else "GET"
        assert await ask(method, path, headers, host="ops.example", admin_token=TOKEN) == 200


# -- without one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8000",
        "127.0.0.1",
        "127.9.9.9:80",
        "[::1]:8000",
        "[::ffff:127.0.0.1]",
        "box.local:1",
    ],
)
async def test_a_program_on_this_machine_may_change_without_a_token(host: str) -> None:
    """It calls by localhost, a loopback address or HOST, with any port."""
    assert await ask("POST", "/change", host=host, bound="box.local") == 200


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "a.localhost",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "user@127.0.0.1",
        "127.0.0.1:80:80",
        "192.0.2.1",
        "localhost,evil.example",
        "localhost/",
        "[::1",
        "::1",
        "x" * 5000,
    ],
)
async def test_a_name_that_is_not_ours_changes_nothing(host: str | None) -> None:
    """A page whose name was made to mean this machine is told by its `Host`."""
    # The framework itself refuses what no address can have.
    assert await ask("POST", "/change", host=host) in {400, 403}
    assert await ask("POST", "/change", [("host", "localhost")], host=HOME) == 403


@pytest.mark.parametrize(
    "header",
    [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "a"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/a"),
        ("forwarded", "for=127.0.0.1"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "127.0.0.1"),
        ("x-original-uri", "/"),
        ("x-envoy-external-address", "127.0.0.1"),
        ("cf-connecting-ip", "192.0.2.7"),
        ("fly-client-ip", "192.0.2.7"),
        ("x-azure-clientip", "192.0.2.7"),
        ("x-amzn-trace-id", "Root=1"),
    ],
)
async def test_what_a_proxy_passes_on_wants_a_token(header: tuple[str, str]) -> None:
    """It did not begin on this machine for all we know."""
    assert await ask("POST", "/change", [header]) == 401


async def test_a_call_from_afar_wants_a_token() -> None:
    """Whatever name it has for us."""
    assert await ask("POST", "/change", client=AFAR) == 401


PAGES = [
    ("origin", "http://evil.example"),
    ("origin", "null"),
    ("origin", ""),
    ("origin", "http://localhost:3000"),
    ("origin", "http://127.0.0.1:8000.evil.example"),
    ("origin", "ftp://127.0.0.1:8000"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
    ("sec-fetch-site", ""),
]


@pytest.mark.parametrize("header", PAGES)
@pytest.mark.parametrize("admin_open", ["true", "false"])
async def test_a_web_page_changes_nothing(header: tuple[str, str], admin_open: str) -> None:
    """Not from another origin, also where administration is open to all."""
    assert await ask("POST", "/change", [header], admin_open=admin_open) == 403


async def test_a_page_of_the_service_itself_may_change() -> None:
    """One that it serves has its own origin, under a local name."""
    own = [("origin", f"http://{HOME}"), ("sec-fetch-site", "same-origin")]
    assert await ask("POST", "/change", own) == 200
    assert await ask("POST", "/change", [("sec-fetch-site", "none")]) == 200


async def test_admin_open_takes_programs_from_anywhere_and_no_rebound_page() -> None:
    """A page that has a name of its own mean this machine has that name in `Origin`."""
    for header, status in (("x-forwarded-for", 200), ("origin", 403)):
        headers = [(header, "http://models.example")]
        assert status == await ask(
            *("POST", "/change", headers),
            host="models.example",
            client=AFAR,
            bound="0.0.0.0",  # noqa: S104 - that is what is tested
            admin_open="true",
        )


# -- reading ------------------------------------------------------------------------------------


async def test_a_service_on_loopback_is_read_under_its_own_names_alone() -> None:
    """A rebound page reads nothing; probes of `/health` may have any name."""
    assert await ask("GET", "/read") == 200
    assert await ask("GET", "/read", host=None) == 200
    for host in ("evil.example", "com.", "127.0.0.1.evil.example", "localhost.evil.example:8000"):
        assert await ask("GET", "/read", host=host) == 403
        assert await ask("GET", "/health", host=host) == 200
    assert await ask("GET", "/read", [("host", "evil.example")]) == 403


async def test_a_name_that_no_web_page_can_have_reads() -> None:
    """An address, a name without a dot (of a container, say), one below localhost."""
    for host in ("192.0.2.1:8000", "[2001:db8::1]", "hotswap:8000", "a.localhost"):
        assert await ask("GET", "/read", host=host) == 200
        assert await ask("POST", "/change", host=host) == 403


async def test_a_proxys_name_can_be_allowed_to_read() -> None:
    """By ALLOWED_HOSTS, with any port; it changes nothing for all that."""
    allowed = "models.example, other.example"
    for host in ("models.example", "Models.Example:443", "other.example:80"):
        assert await ask("GET", "/read", host=host, allowed_hosts=allowed) == 200
    assert await ask("GET", "/read", host="evil.example", allowed_hosts=allowed) == 403
    assert await ask("GET", "/read", host="evil.example", allowed_hosts="*") == 200
    assert await ask("POST", "/change", host="models.example", allowed_hosts=allowed) == 403


async def test_a_service_that_listens_beyond_loopback_is_read_under_any_name() -> None:
    """Its names are the network's to give; so is the address that another server listens on."""
    assert await ask("GET", "/read", host="models.example", called="192.0.2.1") == 200
    assert await ask("GET", "/read", host="models.example", bound="::") == 200


async def test_every_call_that_takes_a_body_refuses_an_encoded_one(tmp_path: Path) -> None:
    """Whatever its bytes are, and before they are read; a new call needs the guard, too."""
    settings = load_settings({"CACHE_DIR": str(tmp_path), "WEBHOOK_SECRET": "s"})
    app = create_app(Deployments(settings))
    taking = [
        route.path
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if "body" in handler.parsed_fn_signature.parameters
    ]
    assert len(taking) == 8
    kind = {"content-type": "application/json"}
    transport = httpx.ASGITransport(app, client=LOCAL)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOME}") as client:
        for path in taking:
            for encoding in ("gzip", "identity, br"):
                headers = {**kind, "content-encoding": encoding}
                answer = await client.post(path, content=b'{"instances": []}', headers=headers)
                assert (path, answer.status_code) == (path, 415)
                assert encoding in answer.json()["detail"]
