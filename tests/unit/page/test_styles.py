import re
from pathlib import Path

STYLES = Path(__file__).parents[3] / "service" / "page" / "static" / "page.css"
BLOCK = r"{selector} {{\n(.*?)\n\s*}}"


def test_dark_is_the_same_by_the_system_and_by_the_switch() -> None:
    """CSS can't share the two blocks, and scripts read the colours: so they are held together."""
    text = STYLES.read_text("utf-8")
    blocks = [
        re.search(BLOCK.format(selector=re.escape(selector)), text, re.DOTALL)
        for selector in (':root:not([data-theme="light"])', ':root[data-theme="dark"]')
    ]
    by_system, by_switch = (
        [line.strip() for line in block[1].splitlines()] if block else [] for block in blocks
    )
    assert len(by_system) > 20
    assert by_system == by_switch
