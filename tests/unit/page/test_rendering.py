"""What is rendered: texts of others stay texts, whatever stands in them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import pytest

import service.page
from service.contracts.choose import contract_for
from service.page.engines import EnginesView, EngineView
from service.page.form import form_of
from service.page.models import ModelView, RegistryView, Summary, VersionView
from service.page.promotions import Gate, PromotionView, Step
from service.page.rendering import (
    MODEL_PARTS,
    Renderer,
    Surroundings,
    shown_ms,
    shown_seconds,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
AROUND = Surroundings(
    files="/ui/:files/0",
    home="/",
    wants_keys=False,
    who="",
    may_sign_in=False,
    signs_in=False,
    may_read=True,
    may_predict=True,
    may_change=True,
)
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    "</textarea></pre></title><svg onload=alert(1)>",
    "&lt;b&gt;",
)
TEMPLATES = Path(service.page.__file__).parent / "templates"


class Structure(HTMLParser):
    """The elements of a page, each with the names of its attributes; and the addresses in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: list[str] = []
        self.texts = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src"}]

    def handle_data(self, data: str) -> None:
        """Note it."""
        self.texts += data


def a_view(text: str) -> ModelView:
    """Return a view of a model in which everything that others wrote is this text."""
    gates = (Gate(text, "refuse", "bad", text, 0.5), Gate(text, "pass", "good", text, 0.5))
    step = Step("loading", "Load", "now", 0.5, NOW)
    under_way = PromotionView(
        *("k1", text, "poll", NOW, None, "under way", "busy", text, None, gates, (("fetch", 0.5),)),
        steps=(step,),
        told=text,
        build=(3, 8),
    )
    over = msgspec.structs.replace(under_way, key="k2", ended_at=NOW, took_s=1.0, steps=())
    registry = RegistryView(text, text, text, text, "bad", text, text)
    summary = Summary(
        *("k", text, text, text, "serving", "Serving", text, text, NOW, under_way, registry)
    )
    engine = EngineView(text, text, "good", text, {1: 0.5}, (1,))
    left_out = EngineView(text, text, "bad", text, {}, ())
    engines = EnginesView(text, text, (engine, left_out), (1, 8), text, 10, 0.1, ((1, 0.5),))
    return ModelView(
        summary=summary,
        serving=VersionView(text, text, text, text, "https://m/#/models/1", "https://m/#/runs/1"),
        workers=1,
        workers_wanted=1,
        batched=True,
        max_batch_rows=8,
        python=text,
        mlflow=text,
        environment=text,
        digest=text,
        signed_by=text,
        probation={"state": "under way", "failures": 1, "reason": text},
        engines=engines,
        story=(under_way, over),
    )


def a_form(text: str) -> Any:
    """Return a form whose names and example are this text."""
    signature = {
        "inputs": [
            {"name": text, "type": "string", "required": True},
            {"name": "n", "type": "boolean", "required": False},
        ],
        "outputs": [{"name": text, "type": "double", "required": True}],
        "params": None,
    }
    example = msgspec.json.encode({"instances": [{text: text, "n": True}]})
    return form_of(contract_for("m", signature, refuse_unknown=False), text, example)


async def pages(renderer: Renderer, text: str) -> list[str]:
    """Return each page and each part that there is."""
    view = a_view(text)
    return [
        await renderer.models(AROUND, [view.summary]),
        await renderer.model(AROUND, view, a_form(text), NOW),
        renderer.fault(AROUND, 404, text, text),
        await renderer.row(view.summary),
        *(await renderer.parts(view, NOW)).values(),
    ]


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_text_of_others_becomes_html(text: str) -> None:
    """Pages have the same elements, attributes and addresses as with harmless texts."""
    renderer = Renderer()
    harmless = [Structure(page) for page in await pages(renderer, "harmless")]
    found = [Structure(page) for page in await pages(renderer, text)]
    assert len(found) == 4 + len(MODEL_PARTS)
    for one, other in zip(found, harmless, strict=True):
        assert one.elements == other.elements
        assert not [address for address in one.addresses if address.startswith("javascript:")]
    assert all(text in page.texts for page in found)


async def test_nothing_in_a_page_is_code_or_style() -> None:
    """Neither scripts, nor styles, nor handlers stand in it, and all that it loads is its own."""
    for page in await pages(Renderer(), "harmless"):
        structure = Structure(page)
        for tag, attributes in structure.elements:
            assert tag != "style"
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            assert tag != "script" or "src" in attributes
        loaded = [one for one in structure.addresses if not one.startswith("https://m/#/")]
        assert all(one.startswith(("/", "#")) and not one.startswith("//") for one in loaded)


def sources() -> Iterator[Path]:
    """Yield each template."""
    found = sorted(TEMPLATES.rglob("*.html"))
    assert len(found) > 8
    yield from found


def test_no_template_takes_a_text_for_html() -> None:
    """None turns escaping off, or puts a text where it would be code."""
    for path in sources():
        assert not {"safe", "autoescape"} & names_in(path.read_text("utf-8")), path


def names_in(text: str) -> set[str]:
    """Return the names that a template's code has."""
    tokens = jinja2.Environment(autoescape=True).lex(text)
    return {str(value) for _, kind, value in tokens if kind == "name"}


def an_empty_view() -> ModelView:
    """Return a view of a model without a version."""
    view = a_view("m")
    summary = msgspec.structs.replace(view.summary, version="", since=None, under_way=None, why="")
    return msgspec.structs.replace(
        view, summary=summary, serving=None, engines=None, probation=None, story=()
    )


async def test_a_model_without_a_version_has_a_page_too() -> None:
    """It says so, and has no form."""
    page = await Renderer().model(AROUND, an_empty_view(), None, None)
    assert "no version serves" in page
    assert 'id="predict"' not in page


async def test_what_has_not_changed_is_not_rendered_again() -> None:
    """When the registry was seen is no change."""
    renderer = Renderer()
    first = await renderer.parts(a_view("m"), NOW)
    assert await renderer.parts(a_view("m"), None) is first
    assert await renderer.parts(a_view("other"), NOW) is not first
    renderer.forget(set())
    assert await renderer.parts(a_view("m"), NOW) is not first


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (1.66, "1.7 s"),
        (61, "1 min 1 s"),
        (3 * 3600 + 120, "3 h 2 min"),
    ],
)
def test_durations_are_short(seconds: float, shown: str) -> None:
    """As people read them."""
    assert shown_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("ms", "shown"), [(0.0284, "0.028"), (4.581, "4.58"), (44.21, "44.2"), (1234.5, "1,234")]
)
def test_milliseconds_have_three_digits_or_so(ms: float, shown: str) -> None:
    """Whatever their size."""
    assert shown_ms(ms) == shown
