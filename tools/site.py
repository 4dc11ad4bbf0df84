"""Make pages of the documentation's site from what stands outside of docs/: a hook of mkdocs.

The README is the first page; the changelog, CONTRIBUTING and what stands beside the files of
deploy/ have pages too, and the decisions a list. The reference is what the service says of its
calls, as of now; the notebook is shown as it was run.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).resolve().parents[1]
_NOTEBOOK = "docs/notebook/promote.ipynb"
_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    **{
        f"deploy/{folder}/README.md": f"deploy/{folder}.md"
        for folder in ("compose", "kubernetes", "kserve", "azure", "systemd")
    },
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages, with links as the site has them."""
    for source, page in _PAGES.items():
        text = (_ROOT / source).read_text("utf-8")
        files.append(File.generated(config, page, content=_with_links_of_the_site(text)))
    files.append(File.generated(config, "notebook.md", content=_notebook()))
    for name, text in _reference().items():
        files.append(File.generated(config, f"reference/{name}", content=text))
    titles = [_title(path) for path in sorted((_ROOT / "docs" / "decisions").glob("*.md"))]
    listed = "\n".join(f"- [{title}]({name})" for name, title in titles)
    text = f"# Decisions\n\nEach choice that may be undone one day, and why it is so.\n\n{listed}\n"
    files.append(File.generated(config, "decisions/index.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Have pages of docs/ name those of what stands outside of it."""
    for source, page in _PAGES.items():
        markdown = markdown.replace(f"](../{source})", f"]({page})")
    return markdown


def _notebook() -> str:
    """Return the notebook's cells, each with what it printed or showed."""
    parts = [f"[The notebook itself]({_NOTEBOOK.removeprefix('docs/')})"]
    for cell in json.loads((_ROOT / _NOTEBOOK).read_text("utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell["outputs"]:
            shown = output.get("data", {})
            if "text/html" in shown:
                parts.append("".join(shown["text/html"]))
            else:
                printed = output.get("text") or shown["text/plain"]
                parts.append(f"```text\n{''.join(printed).rstrip()}\n```")
    # The first part is the title's, and stands below it.
    parts[0], parts[1] = parts[1], parts[0]
    return "\n\n".join(parts) + "\n"


def _reference() -> dict[str, str]:
    if str(_ROOT) not in sys.path:
        sys.path.append(str(_ROOT))
    from tools.reference.pages import pages  # noqa: PLC0415 - found only from here on

    return pages()


def _with_links_of_the_site(text: str) -> str:
    text = text.replace(f"]({_NOTEBOOK})", "](notebook.md)")
    text = text.replace("](docs/decisions)", "](decisions/index.md)").replace("](docs/", "](")
    for source, page in _PAGES.items():
        text = text.replace(f"]({source})", f"]({page})")
    return text


def _title(path: Path) -> tuple[str, str]:
    found = re.match(r"# (.+)", path.read_text("utf-8"))
    return path.name, found[1] if found else path.stem
