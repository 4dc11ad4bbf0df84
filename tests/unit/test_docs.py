import re
import tomllib
from pathlib import Path

import pytest

from service.settings.deployment import DeploymentSettings

ROOT = Path(__file__).parents[2]


def test_each_file_that_how_it_works_names_exists() -> None:
    """Each step of a walk can be opened."""
    text = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
    named = re.findall(r"`([\w/]+\.py)`", text)
    assert len(named) > 10
    assert [path for path in named if not (ROOT / "service" / path).is_file()] == []


def test_each_test_that_the_documents_name_exists() -> None:
    """A promise is held by a test that is there."""
    found = {
        (file.name, name)
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"\bdef (test_\w+)", file.read_text("utf-8"))
    }
    named = {
        one
        for document in (*(ROOT / "docs").rglob("*.md"), ROOT / "README.md")
        for line in document.read_text("utf-8").splitlines()
        for one in named_in(line)
    }
    assert len(named) > 150
    files = {(file, "") for file, _ in found}
    assert named - found - files == set()


def named_in(line: str) -> list[tuple[str, str]]:
    """Return each file of tests and each test of one that a line names; `::test` is of the last."""
    named, last = [], ""
    for file, test in re.findall(r"(test_\w+\.py)?(?:::(test_\w+))?", line):
        last = file or last
        if file or test:
            named.append((last, test))
    return named


PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md"))
    if path.is_file()
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    """Links to other sites apart, which are not asked."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"(?<!`)\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    """Return what a page's headings are called in links, as GitHub and Python-Markdown have it."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


def test_python_and_toml_in_the_documents_can_be_read() -> None:
    """Python is compiled, and each table of a MODELS_FILE has settings of a model."""
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    code = re.findall(r"^```python\n(.+?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(code) > 2
    for block in code:
        compile(block, "a document", "exec")
    tables = [
        table
        for block in re.findall(r"^```toml\n(.+?)^```", text, re.DOTALL | re.MULTILINE)
        for table in tomllib.loads(block).get("models", {}).values()
    ]
    assert tables
    fields = {"uri", *DeploymentSettings.__struct_fields__}
    assert [name for table in tables for name in table if name not in fields] == []


def test_the_readme_is_a_first_page() -> None:
    """What it is, how to begin, and where to read on; all else has a page of its own."""
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150
