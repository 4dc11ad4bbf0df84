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
        (file, name)
        for document in (*(ROOT / "docs").rglob("*.md"), ROOT / "README.md")
        for file, name in re.findall(r"(test_\w+\.py)::(test_\w+)", document.read_text("utf-8"))
    }
    assert len(named) > 100
    assert named - found == set()
