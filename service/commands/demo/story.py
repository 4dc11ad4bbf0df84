"""What the demo says when everything runs: three things to try."""

import json

from rich.markup import escape

from service import windows

EXAMPLE = {
    "month": "2025-12-01",
    "total_files": 42_000,
    "avg_file_size_mb": 1.8,
    "largest_file_mb": 140.0,
    "pct_pdf": 0.5,
    "pct_docx": 0.3,
    "pct_xlsx": 0.1,
    "archive_frequency_per_day": 8.0,
    "storage_saved_gb": 12.0,
    "deleted_files_count": 400,
    "tenant_count": 12,
    "site_count": 40,
}
"""One instance that the demo's model answers."""


def story(*, service: str, mlflow: str, name: str, alias: str, version: str) -> str:
    """Return the three things to try, as commands of this machine's shell."""
    other = "1" if version == "2" else "2"
    predict = _post(f"{service}/predict", {"instances": [EXAMPLE]})
    promote = _post(
        f"{mlflow}/api/2.0/mlflow/registered-models/alias",
        {"name": name, "alias": alias, "version": other},
    )
    return f"""
[bold]Everything runs.[/bold] The service follows models:/{name}@{alias}, now version {version}.

[bold]1. Ask for a forecast[/bold] (in another terminal); the answer names its version:
{predict}

[bold]2. Promote version {other}[/bold]: give it the alias [cyan]{alias}[/cyan] in MLflow's page,
{mlflow}/#/models/{name}, or with a command:
{promote}
Then ask again. The lines below tell how it went live.

[bold]3. Look at what is served[/bold], every version's state and the last promotions:
{_get(f"{service}/model/info")}

Ctrl-C ends it all.
"""


def _post(url: str, body: object) -> str:
    text = json.dumps(body)
    if windows.speaks_powershell():
        return (
            f"[cyan]Invoke-RestMethod -Method Post -ContentType application/json -Uri {url} "
            f"-Body '{escape(text)}' | ConvertTo-Json -Depth 9[/cyan]"
        )
    return f"[cyan]curl -s -H 'Content-Type: application/json' {url} -d '{escape(text)}'[/cyan]"


def _get(url: str) -> str:
    if windows.speaks_powershell():
        return f"[cyan]Invoke-RestMethod {url} | ConvertTo-Json -Depth 9[/cyan]"
    return f"[cyan]curl -s {url}[/cyan]"
