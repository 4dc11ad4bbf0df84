import re
from pathlib import Path

SERVICE = Path(__file__).parents[2] / "service"
ASKS = re.compile(r"""win32|\bos\.name\b|platform\.system\(|["']nt["']|["']Windows["']""")


def test_one_module_alone_asks_whether_this_is_windows() -> None:
    """The others ask what the system can do, so that all that is untried is in one place."""
    asking = {path.name for path in SERVICE.rglob("*.py") if ASKS.search(path.read_text("utf-8"))}
    assert asking == {"windows.py"}
