import re
from pathlib import Path

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
