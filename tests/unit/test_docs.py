import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_file_that_how_it_works_names_exists() -> None:
    """Each step of a walk can be opened."""
    text = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
    named = re.findall(r"`([\w/]+\.py)`", text)
    assert len(named) > 10
    assert [path for path in named if not (ROOT / "service" / path).is_file()] == []
