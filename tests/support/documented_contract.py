"""The example of docs/contracts.md, installed as a team would install it: a small distribution."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "contracts.md"


def code_of(language: str) -> str:
    """Return the first block of that language."""
    found = re.search(rf"```{language}\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def install(folder: Path, *, code: str = "", name: str = "wine", value: str = "") -> Path:
    """Install the example's package into a folder for `sys.path`, for a model of that name."""
    folder.mkdir(exist_ok=True)
    (folder / "wine_rules.py").write_text(code or code_of("python"))
    metadata = folder / "wine_rules-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: wine-rules\nVersion: 1.0\n")
    group, entry = re.search(
        r'\[project\.entry-points\."(.*)"\]\nwine = "(.*)"', code_of("toml")
    ).groups()  # type: ignore[union-attr]
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {value or entry}\n")
    return folder
