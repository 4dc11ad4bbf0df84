"""A browser that signs in on the page: what its cookie opens, and what nothing but it does."""

import re
from http.cookies import SimpleCookie
from pathlib import Path
from time import monotonic

import anyio
import httpx
import pytest

from service.access import failed_attempts, sessions
from service.access.keys_file import revoke_key
from service.handlers.page.sign_in import SESSION_PATH
from service.handlers.session_cookie import PAGE
from tests.support.keyed import MODEL, OTHER, Keyed, keyed

HOME = "http://127.0.0.1"
OWN = {"origin": HOME, "sec-fetch-site": "same-origin", "host": "127.0.0.1"}
ROW = {"instances": [{"a": 1.0}]}
PREDICT, PIN = f"{PAGE}/{MODEL}/predict", f"{PAGE}/{MODEL}/pin"


@pytest.fixture(autouse=True)
def short_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a wrong key wait no longer than it must here."""
    monkeypatch.setattr(failed_attempts, "DELAY_S", 0.001)


async def sign_in(service: Keyed, key: str, **headers: str) -> httpx.Response:
    """Enter a key, as the page does."""
    given = {**OWN, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await service.client.post(SESSION_PATH, json={"key": key}, headers=given)


async def cookie_for(service: Keyed, name: str) -> str:
    """Return what a browser sends as `Cookie` once somebody has signed in with a key."""
    answer = await sign_in(service, service.keys[name])
    assert answer.status_code == 200, answer.text
    # What the client kept is not sent again: each call says which cookie it has.
    service.client.cookies.clear()
    return answer.headers["set-cookie"].partition(";")[0]


async def predict(service: Keyed, cookie: str, **headers: str) -> int:
    """Ask for a prediction as the page's form does; return the status."""
    given = {**OWN, "cookie": cookie, **headers}
    answer = await service.client.post(PREDICT, json=ROW, headers=given)
    assert "set-cookie" not in answer.headers
    return answer.status_code


async def test_a_key_that_is_entered_becomes_a_cookie_that_no_script_reads(tmp_path: Path) -> None:
    """For the page's own path and site; the answer says whose key it is, and never the key."""
    async with keyed(tmp_path) as service:
        key = service.keys["predicts-one"]
        answer = await sign_in(service, f" {key}\n")
        assert answer.json() == {"name": "predicts-one", "scopes": ["predict"], "models": [MODEL]}
        assert key not in answer.text + str(answer.headers)
        [cookie] = SimpleCookie(answer.headers["set-cookie"]).values()
        assert re.fullmatch(r"[\w-]{43}", cookie.value)
        given = {name: value for name, value in cookie.items() if value}
        assert given == {"path": PAGE, "httponly": True, "samesite": "Strict"}
        by_tls = await sign_in(service, key, origin="https://127.0.0.1")
        assert "; Secure" in by_tls.headers["set-cookie"]


async def test_a_session_opens_what_its_key_opens(tmp_path: Path) -> None:
    """Its scopes, and its models."""
    async with keyed(tmp_path) as service:
        for name, status in (
            ("predicts", 200),
            ("predicts-one", 200),
            ("administers", 200),
            ("predicts-other", 403),
            ("reads", 403),
        ):
            cookie = await cookie_for(service, name)
            assert (name, await predict(service, cookie)) == (name, status)
            # The body is wrong: a caller that may not change anything is not told so.
            answer = await service.client.post(
                PIN, json={"version": []}, headers={**OWN, "cookie": cookie}
            )
            assert answer.status_code == (400 if name == "administers" else 403)


async def test_a_session_counts_for_the_page_alone(tmp_path: Path) -> None:
    """No other path looks at the cookie, even where a browser sends it."""
    async with keyed(tmp_path) as service:
        cookie = await cookie_for(service, "administers")
        for path in ("/predict", f"/models/{MODEL}/predict", "/model/pin", "/invocations"):
            answer = await service.client.post(path, json=ROW, headers={**OWN, "cookie": cookie})
            assert (path, answer.status_code) == (path, 401)
        for path in ("/models", "/metrics", "/model/info", f"/ui{MODEL}", "//ui/models"):
            answer = await service.client.get(path, headers={"cookie": cookie})
            assert answer.status_code in {401, 404}, path


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://127.0.0.1.evil.example"},
        {"origin": "ftp://127.0.0.1"},
        {"origin": "127.0.0.1"},
        {"origin": HOME, "sec-fetch-site": "same-site"},
        {"origin": HOME, "sec-fetch-site": "cross-site"},
        {"origin": HOME, "host": "evil.example"},
        {},
    ],
)
async def test_a_page_of_another_origin_does_nothing_with_the_cookie(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    """Nor does what has no `Origin`: neither predict, nor change, nor sign in or out."""
    async with keyed(tmp_path, ALLOWED_HOSTS="*") as service:
        cookie = await cookie_for(service, "administers")
        given = {"cookie": cookie, **headers}
        for method, path, body in (
            ("POST", PREDICT, ROW),
            ("POST", PIN, {"version": "1"}),
            ("DELETE", PIN, None),
            ("POST", f"{PAGE}/{MODEL}/reload", None),
            ("POST", SESSION_PATH, {"key": service.keys["reads"]}),
            ("DELETE", SESSION_PATH, None),
        ):
            answer = await service.client.request(method, path, json=body, headers=given)
            assert (path, answer.status_code) == (path, 403)
            assert "set-cookie" not in answer.headers
        assert await predict(service, cookie) == 200


async def test_a_form_of_another_page_signs_nobody_in(tmp_path: Path) -> None:
    """What is no JSON is refused, from the page itself as well."""
    async with keyed(tmp_path) as service:
        for body, kind, status in (
            (f'{{"key": "{service.keys["reads"]}"}}', "text/plain", 415),
            (f"key={service.keys['reads']}", "application/x-www-form-urlencoded", 415),
            ("{", "application/json", 400),
            ('{"key": ["geheim"]}', "application/json", 400),
            ('{"geheim": 1, "key": ""}', "application/json", 400),
            (f'{{"key": "{"geheim" * 3_000}"}}', "application/json", 400),
            ("[" * 50_000, "application/json", 400),
            ("x" * 70_000, "application/json", 413),
        ):
            answer = await service.client.post(
                SESSION_PATH, content=body, headers={**OWN, "content-type": kind}
            )
            assert (body[:20], answer.status_code) == (body[:20], status), answer.text
            assert "set-cookie" not in answer.headers
            assert "geheim" not in answer.text


async def test_a_wrong_key_waits_and_leaves_no_cookie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not known, in the same words for all; the log counts it and does not show it."""
    monkeypatch.setattr(failed_attempts, "DELAY_S", 0.3)
    async with keyed(tmp_path) as service:
        told = set()
        almost = service.keys["reads"][:-1]
        for wrong in (
            "hsk_geheim",
            "geheim\r\nset-cookie: a=b",
            "geheim\u00e9",
            "two geheim",
            almost,
        ):
            began_s = monotonic()
            answer = await sign_in(service, wrong)
            assert answer.status_code == 401
            assert monotonic() - began_s >= 0.3
            assert "set-cookie" not in answer.headers
            told.add(answer.text)
        assert len(told) == 1
        assert "geheim" not in told.pop()
    shown = capsys.readouterr()
    assert "geheim" not in shown.out + shown.err


async def test_nobody_gives_a_browser_a_session_of_his_own_choice(tmp_path: Path) -> None:
    """A token that was there before, made up or another's, is not the one that is signed in."""
    async with keyed(tmp_path) as service:
        known = await cookie_for(service, "reads")
        name = known.partition("=")[0]
        for before in (known, f"{name}=made-up", f"{known}; {known}"):
            answer = await sign_in(service, service.keys["predicts"], cookie=before)
            service.client.cookies.clear()
            cookie = answer.headers["set-cookie"].partition(";")[0]
            assert cookie not in before
            assert await predict(service, cookie) == 200
            # Two of the name: one of them is somebody else's.
            assert await predict(service, f"{cookie}; {name}=made-up") == 401
        assert await predict(service, known) == 401


async def test_signing_out_ends_the_session(tmp_path: Path) -> None:
    """Also for whoever has a copy of the cookie; without one nothing happens."""
    async with keyed(tmp_path) as service:
        cookie = await cookie_for(service, "predicts")
        other = await cookie_for(service, "predicts")
        for _ in range(2):
            answer = await service.client.delete(SESSION_PATH, headers={**OWN, "cookie": cookie})
            assert answer.status_code == 204
            assert "Max-Age=0" in answer.headers["set-cookie"]
        assert await predict(service, cookie) == 401
        assert await predict(service, other) == 200


async def test_a_session_ends_with_its_key(tmp_path: Path) -> None:
    """Once the file has it no more, as a caller that sends the key; it does not come back."""
    async with keyed(tmp_path) as service, service.app.state.gate.running():
        cookie = await cookie_for(service, "predicts")
        kept = await cookie_for(service, "administers")
        assert await predict(service, cookie) == 200
        revoke_key(tmp_path / "keys.json", "predicts")
        with anyio.fail_after(10):
            while await predict(service, cookie) != 401:  # noqa: ASYNC110 - the file is looked at
                await anyio.sleep(0.05)
        assert await predict(service, kept) == 200
        assert len(service.app.state.session_cookie.sessions._known) == 1


async def test_a_session_ends_where_its_page_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as nothing has been heard of it for a while."""
    async with keyed(tmp_path) as service:
        cookie = await cookie_for(service, "predicts")
        assert await predict(service, cookie) == 200
        monkeypatch.setattr(sessions, "IDLE_S", 0.0)
        assert await predict(service, cookie) == 401


async def test_a_key_in_the_header_goes_before_the_cookie(tmp_path: Path) -> None:
    """It was sent on purpose; and it needs no `Origin`."""
    async with keyed(tmp_path) as service:
        cookie = await cookie_for(service, "administers")
        headers = {"cookie": cookie, **service.bearer("predicts-other")}
        answer = await service.client.post(PREDICT, json=ROW, headers=headers)
        assert answer.status_code == 403
        headers |= service.bearer("predicts")
        answer = await service.client.post(PREDICT, json=ROW, headers=headers)
        assert answer.status_code == 200


async def test_a_session_sees_no_model_that_its_key_does_not(tmp_path: Path) -> None:
    """A call about one is the same as about one that there is not."""
    async with keyed(tmp_path) as service:
        cookie = await cookie_for(service, "predicts-one")
        answers = [
            await service.client.post(
                f"{PAGE}/{name}/predict", json=ROW, headers={**OWN, "cookie": cookie}
            )
            for name in (OTHER, "xxxxx", "..", "%2e%2e")
        ]
        assert [answer.status_code for answer in answers[:2]] == [403, 403]
        assert answers[0].text.replace(OTHER, "xxxxx") == answers[1].text
        assert {answer.status_code for answer in answers[2:]} <= {401, 403, 404}


async def test_a_hidden_page_keeps_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a call that says nothing more than whether somebody is signed in."""
    async with keyed(tmp_path) as service:
        cookie = await cookie_for(service, "reads")
        for given, status in ((cookie, 204), (f"{cookie}x", 401), ("", 401)):
            answer = await service.client.get(SESSION_PATH, headers={"cookie": given})
            assert answer.status_code == status
        foreign = {"cookie": cookie, "sec-fetch-site": "same-site"}
        assert (await service.client.get(SESSION_PATH, headers=foreign)).status_code == 403
        monkeypatch.setattr(sessions, "IDLE_S", 0.0)
        answer = await service.client.get(SESSION_PATH, headers={"cookie": cookie})
        assert answer.status_code == 401


async def test_what_the_page_calls_is_gone_where_page_is_off(tmp_path: Path) -> None:
    """A key can't be entered, and nothing below its path predicts or changes anything."""
    async with keyed(tmp_path, PAGE="false") as service:
        assert (await sign_in(service, service.keys["administers"])).status_code == 404
        for path in (PAGE, f"{PAGE}/{MODEL}", PREDICT, PIN, f"{PAGE}/{MODEL}/reload", "/"):
            for method in ("GET", "POST", "DELETE"):
                headers = service.bearer("administers")
                answer = await service.client.request(method, path, json=ROW, headers=headers)
                assert (path, answer.status_code) == (path, 404)
