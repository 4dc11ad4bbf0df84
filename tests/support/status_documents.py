"""What a service answers about its models, for tests of what is shown of it."""

from datetime import UTC, datetime
from typing import Any

SINCE = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def listed(name: str = "tiny", **more: Any) -> dict[str, Any]:
    """Return an entry of `/models`."""
    return {
        "name": name,
        "model_name": f"{name}-registered",
        "model_stage": "@champion",
        "model_version": "1",
        "status": "healthy",
        "error": None,
        "degraded": None,
        **more,
    }


def info(version: str | None = "1", promoted: str | None = "1", **more: Any) -> dict[str, Any]:
    """Return `/models/NAME/info` as far as it is read, and what is not."""
    serving = {
        "version": version,
        "since": SINCE.isoformat(),
        "answered": 12,
        "failed": 3,
        "pool": {"workers": 2, "alive": 2, "pids": [1, 2]},
    }
    return {
        "pin": None,
        "serving": serving if version else None,
        "registry": {"promoted_version": promoted, "age_s": 0.25, "error": None},
        "versions": [],
        "promotions": [],
        **more,
    }
