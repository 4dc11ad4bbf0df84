"""What is exported by OTLP, by the variables that OpenTelemetry has for every service.

They are no settings of ours: SDK and exporters read most of them, and only what decides whether
there is an export at all is looked at here.
"""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import urlsplit

import msgspec

from service.settings.errors import SettingsError
from service.settings.texts import show

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOL = "http/protobuf"
_PACKAGES = (
    "opentelemetry",
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "opentelemetry.exporter.otlp",
    "opentelemetry.exporter.otlp.proto",
    "opentelemetry.exporter.otlp.proto.http",
)
"""From the outermost on: to look for an inner one imports those around it."""
_MOST = 2**31


class Exported(msgspec.Struct, frozen=True):
    """Whether traces and metrics are exported, and how often and how many together."""

    traces: bool = False
    metrics: bool = False
    queue: int = 2_048
    """So many requests and spans of promotions wait for their export; the oldest are dropped."""
    batch: int = 512
    """So many are exported together."""
    delay_s: float = 5.0
    """Spans wait for so long at most."""
    interval_s: float = 60.0
    """Metrics are exported so often."""


def read_exported(environ: Mapping[str, str] | None = None) -> Exported:
    """Read what is to be exported.

    Raises:
        SettingsError: an endpoint is set without the extra, or a value is wrong.
    """
    env = os.environ if environ is None else environ
    is_off = env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    traces, metrics = (not is_off and _is_exported(env, signal) for signal in ("TRACES", "METRICS"))
    if not (traces or metrics):
        return Exported()
    if not _has_packages():
        raise SettingsError(
            f"{_named(env)} is set, and what it needs is not installed: "
            "pip install 'mlflow-hotswap[otel]'"
        )
    queue = _number(env, "OTEL_BSP_MAX_QUEUE_SIZE", 2_048)
    return Exported(
        traces=traces,
        metrics=metrics,
        queue=queue,
        batch=min(queue, _number(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)),
        delay_s=_number(env, "OTEL_BSP_SCHEDULE_DELAY", 5_000) / 1_000,
        interval_s=_number(env, "OTEL_METRIC_EXPORT_INTERVAL", 60_000) / 1_000,
    )


def _is_exported(env: Mapping[str, str], signal: str) -> bool:
    """Tell whether a signal has an endpoint that it can go to, and nobody said it does not."""
    own = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
    name = own if env.get(own) else _ENDPOINT
    exporters = env.get(f"OTEL_{signal}_EXPORTER", "").strip() or "otlp"
    if not env.get(name) or "otlp" not in [one.strip() for one in exporters.split(",")]:
        return False
    _check_endpoint(name, env[name])
    for protocol in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if said := env.get(protocol, "").strip():
            if said != _PROTOCOL:
                raise SettingsError(f"{protocol}={show(said)} is wrong: allowed is {_PROTOCOL}")
            break
    return True


def _check_endpoint(name: str, url: str) -> None:
    """Raise SettingsError for what is no address, or has a credential, which models would see."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        is_address = False
    if not is_address:
        raise SettingsError(f"{name}={show(url)} is wrong: allowed is an address by http or https")
    if parts.username or parts.password or parts.query:
        raise SettingsError(
            f"{name} is wrong: allowed is an address without user, password and query; "
            "OTEL_EXPORTER_OTLP_HEADERS is for credentials"
        )


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    said = env.get(name, "").strip()
    if not said:
        return default
    if not (said.isascii() and said.isdigit() and len(said) <= len(str(_MOST)) and int(said)):
        raise SettingsError(f"{name}={show(said)} is wrong: allowed is a whole number from 1 on")
    return int(said)


def _has_packages() -> bool:
    try:
        return all(map(find_spec, _PACKAGES))
    except ModuleNotFoundError:
        return False


def _named(env: Mapping[str, str]) -> str:
    """Return the variable that is set, for a sentence."""
    names = (_ENDPOINT, *(f"OTEL_EXPORTER_OTLP_{one}_ENDPOINT" for one in ("TRACES", "METRICS")))
    return next(name for name in names if env.get(name))
