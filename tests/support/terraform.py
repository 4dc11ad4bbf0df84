"""What Terraform files declare, and what they refer to."""

import re
from pathlib import Path
from typing import Any

import hcl2

_REFERENCE = re.compile(
    r"(?<![\w.\"-])(?:var|local)\.[\w-]+|(?:\bdata\.)?\bazurerm_\w+\.[\w-]+(?=\.)"
)


class Terraform:
    """All files of a folder, together."""

    def __init__(self, folder: Path) -> None:
        self.files = {file: file.read_text("utf-8") for file in sorted(folder.glob("*.tf"))}
        self._parsed = [_plain(hcl2.loads(text)) for text in self.files.values()]

    def blocks(self, kind: str) -> list[dict[str, Any]]:
        """Return each block of a kind: of `variable`, the names with what is said of each."""
        return [block for parsed in self._parsed for block in parsed.get(kind, [])]

    def declared(self) -> set[str]:
        """Return every name that may be referred to."""
        found = {f"var.{name}" for block in self.blocks("variable") for name in block}
        found |= {f"local.{name}" for block in self.blocks("locals") for name in block}
        found |= {
            f"{prefix}{kind}.{name}"
            for of, prefix in (("resource", ""), ("data", "data."))
            for block in self.blocks(of)
            for kind, named in block.items()
            for name in named
        }
        return found

    def referred(self) -> set[str]:
        """Return every name that something refers to."""
        without_comments = (re.sub(r"(?m)^\s*#.*$", "", text) for text in self.files.values())
        return {name for text in without_comments for name in _REFERENCE.findall(text)}

    def resource(self, kind: str) -> dict[str, Any]:
        """Return the only resource of a kind."""
        [found] = [
            body
            for block in self.blocks("resource")
            for of, named in block.items()
            if of == kind
            for body in named.values()
        ]
        assert isinstance(found, dict)
        return found


def _plain(node: Any) -> Any:
    """Return what was parsed without its parser's marks: quotes around texts, signs of blocks."""
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if not key.startswith("__")}
        return {_plain(key): _plain(value) for key, value in kept.items()}
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if isinstance(node, str) and len(node) > 1 and node[0] == node[-1] == '"':
        return node[1:-1]
    return node
