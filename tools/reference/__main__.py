"""Write the reference of HTTP and of gRPC into a folder: `python -m tools.reference FOLDER`."""

import sys
from pathlib import Path

from tools.reference.pages import pages

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, "utf-8")
