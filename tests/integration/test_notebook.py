"""The notebook of the documentation, run as a reader runs it."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tools.mlflow_server import MlflowServer

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebook" / "promote.ipynb"
CELL_TIMEOUT_S = 120


def shown(notebook: Any) -> str:
    """Return all that its cells printed or showed."""
    return "\n".join(
        str(output.get("text") or output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def test_a_promotion_under_requests(
    mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs to its end, no request fails, and both versions were asked."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kept = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert len(kept) > 3, "what a reader sees who does not run it"
    NotebookClient(notebook, timeout=CELL_TIMEOUT_S, kernel_name="python3").execute()
    told = shown(notebook)
    assert " 0 failed, 0 with another version's answer" in told
    assert "version 2: serving" in told
    assert "ended with 143" in told
