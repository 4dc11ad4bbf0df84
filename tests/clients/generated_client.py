"""A client that a public generator makes of a service's document, and what it does; prints JSON.

`python generated_client.py URL FOLDER`, by an interpreter that has `openapi-python-client`.
"""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

url, folder = sys.argv[1], Path(sys.argv[2])
document = httpx.get(f"{url}/schema/openapi.json", trust_env=False).raise_for_status()
(folder / "openapi.json").write_bytes(document.content)
# It formats what it makes by a tool that is not needed here.
(folder / "config.yml").write_text("post_hooks: []\n", "utf-8")
generated = subprocess.run(
    [
        *(sys.executable, "-m", "openapi_python_client", "generate"),
        *("--path", "openapi.json", "--output-path", "made", "--meta", "none"),
        *("--config", "config.yml"),
    ],
    cwd=folder,
    capture_output=True,
    text=True,
    check=True,
)
sys.path.insert(0, str(folder))
models: Any = importlib.import_module("made.models")
made: Any = importlib.import_module("made.client")


def call(tag: str, name: str) -> Any:
    """Return the module of a call."""
    return importlib.import_module(f"made.api.{tag}.{name}")


def value(name: str) -> Any:
    """Return an example of the document."""
    return document.json()["components"]["examples"][f"archive-forecast-rf.{name}"]["value"]


for path in sorted((folder / "made").rglob("*.py")):
    importlib.import_module(".".join(path.relative_to(folder).with_suffix("").parts))
client = made.Client(base_url=url)
rows = models.ArchiveForecastRfRows.from_dict(value("rows"))
columns = models.ArchiveForecastRfColumns.from_dict(value("columns"))
by_rows = call("predict", "predict").sync(client=client, body=rows)
by_columns = call("predict", "predict_archive_forecast_rf").sync(client=client, body=columns)
tensors = models.ArchiveForecastRfInferRequest.from_dict(value("tensors"))
inferred = call("inference", "v2_infer_archive_forecast_rf").sync(client=client, body=tensors)
rows.instances[0].pct_pdf = 1.5
refused = call("predict", "predict").sync_detailed(client=client, body=rows)
sys.stdout.write(
    json.dumps(
        {
            "warnings": generated.stdout + generated.stderr,
            "rows": [prediction.to_dict() for prediction in by_rows.predictions],
            "version": by_rows.model_version,
            "columns": by_columns.predictions.to_dict(),
            "tensors": {output.name: output.data for output in inferred.outputs},
            "refused": [refused.status_code, refused.parsed.to_dict()],
        }
    )
)
