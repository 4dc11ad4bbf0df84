"""What can be set from outside: read once from the environment, checked whole, passed in."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from dotenv import load_dotenv
from msgspec import Meta

from service.core.versions import InvalidModelUriError, ModelRef, is_model_name
from service.settings.texts import HOSTS, TOKEN, VARIABLES, WrongTextError, convert, show

_DAY_S = 86_400
_SECRETS = frozenset({"admin_token", "webhook_secret"})

Seconds = Annotated[float, Meta(ge=0.01, le=_DAY_S)]
"""A duration that has to pass: from 10 ms, below which timers only keep the CPU busy, to a day."""

Bytes = Annotated[int, Meta(ge=1024, le=2**40)]
"""A size: at least a kibibyte, at most a tebibyte."""

_LONGEST_TEXT = 2048
"""Characters of a path, an address or a list."""
_NAMES = frozenset({"model_name", "model_stage", "model_alias"})
_LONGEST_NAME = 256
"""Characters of a name in MLflow."""


class SettingsError(Exception):
    """A wrong setting, in one line: which variable, what is wrong, what is allowed."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, under its environment variable's name in lower case."""

    model_uri: str = ""
    """Which model to follow: `models:/NAME/STAGE`, `models:/NAME@ALIAS`, `models:/NAME/VERSION`,
    `models:/NAME/latest`, `models:/m-ID` or `runs:/RUN_ID/PATH`; instead of the next three."""

    model_name: str = "archive-forecast-rf"
    """The registered model; beside a `runs:/` or `models:/m-` URI, the name to report."""

    model_stage: str = ""
    """The stage to follow, in any case, or a version number, or `latest`; `Production` where no
    other pointer is set."""

    model_alias: str = ""
    """The alias to follow, with or without its `@`; instead of a stage."""

    mlflow_tracking_uri: str = "http://127.0.0.1:5000"
    """The MLflow server."""

    mlflow_registry_uri: str = ""
    """The model registry, where it is not the tracking server."""

    mlflow_workspace: Annotated[str, Meta(pattern=r"^[!-~]*$", max_length=200)] = ""
    """The workspace of the MLflow server whose models are meant, where it has several."""

    host: str = "127.0.0.1"
    """The address to listen on; `0.0.0.0` for all of IPv4, `::` for all of IPv6."""

    port: Annotated[int, Meta(ge=0, le=65_535)] = 8000
    """The port to listen on; 0 takes a free one."""

    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    """Worker processes for each loaded version."""

    threads_per_worker: Annotated[int, Meta(ge=0, le=1024)] = 0
    """Threads that a worker computes with; 0 shares the usable CPUs among the workers."""

    worker_spin_us: Annotated[int, Meta(ge=0, le=100_000)] = 300
    """Microseconds that a worker looks out for its next call before it sleeps, while calls come
    that closely; 0 for never. Only where it has a CPU that the front does not need."""

    poll_interval_s: Seconds = 2.0
    """Seconds between two looks at the registry."""

    registry_timeout_s: Seconds = 10.0
    """Seconds that the registry has to answer one look."""

    fetch_timeout_s: Seconds = 900.0
    """Seconds that a version's artifacts may take to arrive."""

    load_timeout_s: Seconds = 300.0
    """Seconds that a version may take to load and to pass its gates, and `/reload-model` to
    answer."""

    start_timeout_s: Seconds = 60.0
    """Seconds that a helper or worker process may take to start, before it is given any work."""

    request_timeout_s: Seconds = 30.0
    """Seconds that a request may take; then 504, and a worker that hangs is replaced."""

    drain_timeout_s: Annotated[float, Meta(ge=0, le=_DAY_S)] = 30.0
    """Seconds that accepted requests have to end, when a version or the service does."""

    drain_lead_s: Annotated[float, Meta(ge=0, le=_DAY_S)] = 0.0
    """Seconds that `/health` is red before the listener closes, for load balancers to notice."""

    probation_s: Annotated[float, Meta(ge=0, le=_DAY_S)] = 120.0
    """Seconds after a swap in which a version that fails more than the one before is rolled
    back."""

    probation_max_error_rate: Annotated[float, Meta(ge=0, le=1)] = 0.01
    """Up to this share of failed predictions nothing is rolled back, however good the version
    before was."""

    probation_alpha: Annotated[float, Meta(ge=1e-9, le=0.5)] = 0.01
    """The probability of rolling back a version that fails no more than the one before; the
    smaller, the more failures it takes to roll back a worse one."""

    keep_warm: bool = True
    """Whether the version before keeps its workers while the new one is on probation; without it
    no failure is compared with it, and a rollback loads the last known good version again."""

    heartbeat_interval_s: Seconds = 1.0
    """Seconds between two signs of life that a worker owes."""

    max_batch_rows: Annotated[int, Meta(ge=1, le=10_000_000)] = 4096
    """Rows that are answered in one call of the model at most; a larger request goes alone."""

    max_batch_wait_ms: Annotated[float, Meta(ge=0, le=10_000)] = 10.0
    """Milliseconds that a batch waits at most for callers who tend to come back at once."""

    max_queue_rows: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    """Rows that may wait for a worker; 0 for as many as can be answered within REQUEST_TIMEOUT_S.
    More are refused with 503."""

    max_queue_bytes: Annotated[int, Meta(ge=0, le=2**40)] = 0
    """Bytes of all bodies that wait for a worker; 0 for eight times MAX_BODY_BYTES. More are
    refused with 503."""

    max_body_bytes: Bytes = 33_554_432
    """The largest body that is taken; an Arrow stream may have 8 times that once decoded."""

    raw_body_bytes: Annotated[int, Meta(ge=0, le=2**40)] = 262_144
    """Bodies over this size are decoded in the worker, so that they hold up nobody else."""

    max_bodies_bytes: Bytes = 268_435_456
    """What all bodies under way may hold together, and answers that are not taken; larger bodies
    are then refused (503). At least MAX_BODY_BYTES."""

    max_connections: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Connections that are kept open; 0 for 10,000 at most, and never more than the limit of
    descriptors allows."""

    head_timeout_s: Seconds = 10.0
    """Seconds that the head of a request may take to arrive; then 408."""

    body_timeout_s: Seconds = 10.0
    """Seconds for which a body may stand still, or an answer that is not taken; in as many at least
    1 kB a second has to come."""

    unknown_fields: Literal["ignore", "refuse"] = "ignore"
    """What becomes of fields that the model does not know."""

    rows_out: Literal["same", "any"] = "same"
    """How many rows a model answers: `same` as it gets, `any` for time series and the like, which
    are then called request by request, by pyfunc alone."""

    non_finite: Literal["error", "null"] = "error"
    """What becomes of NaN and infinity in an answer: an error, at load too, or null."""

    on_unpromoted: Literal["keep", "unload"] = "keep"
    """What becomes of the served version when nothing is promoted any more."""

    on_mismatch: Literal["warn", "refuse"] = "warn"
    """What becomes of a version that wants another Python or other packages than are installed."""

    on_contract_change: Literal["refuse", "allow"] = "refuse"
    """What becomes of a version that does not take what callers send, or give what they read."""

    compiled: Literal["auto", "off"] = "auto"
    """Whether faster ways to call a model are looked for once it serves, and used where they give
    the same answers."""

    compiled_rtol: Annotated[float, Meta(ge=0, le=0.01)] = 1e-12
    """How far they may be from the model's own numbers, as a share of the number or of the largest
    one in its column; 0 takes the same bits only, `1e-6` single precision too."""

    compiled_wait_s: Annotated[float, Meta(ge=0, le=600)] = 0
    """How long a promotion waits for what is compiled at once, so that the new version is as fast
    as the one before from its first request on; 0 for not at all."""

    keep_versions: Annotated[int, Meta(ge=1, le=10_000)] = 3
    """Versions of each model to keep on disk; what some service needs is never removed."""

    cache_dir: Path = Path(".hotswap")
    """The folder for fetched versions and temporary files."""

    allowed_hosts: Annotated[str, Meta(pattern=HOSTS)] = ""
    """Names, separated by commas, that callers may have in `Host` besides loopback's own where the
    service listens on loopback alone, as behind a proxy that keeps `Host`; `*` for any."""

    admin_token: Annotated[str, Meta(pattern=TOKEN)] = ""
    """The bearer token that `/reload-model` and `/model/pin` want, wherever the call comes from;
    without one they are open on loopback alone."""

    admin_open: bool = False
    """Whether `/reload-model` and `/model/pin` are open to all, web pages apart."""

    webhook_secret: Annotated[str, Meta(pattern=TOKEN)] = ""
    """The secret that MLflow signs its webhooks with; without one, `/webhooks/mlflow` does not
    exist."""

    worker_env: Annotated[str, Meta(pattern=VARIABLES)] = ""
    """Variables that model code gets although they are kept from it (`DATABRICKS_TOKEN`), or does
    not get (`-AWS_SECRET_ACCESS_KEY`), separated by commas; `*` ends a name for all that begin
    so."""

    write_back: bool = False
    """Whether tags on the model version tell in MLflow's pages what became of it."""

    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    """The least severe lines to log."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """How lines are logged; `auto` is for people on a terminal, else JSON."""

    def __post_init__(self) -> None:
        """Make the folder absolute: what is started later may stand in another one.

        Raises:
            SettingsError: it begins with a user's home folder, and there is none.
        """
        try:
            folder = self.cache_dir.expanduser()
        except RuntimeError:
            raise SettingsError(
                f"{_shown('cache_dir', str(self.cache_dir))} is wrong: allowed is a folder; no "
                "home folder is known for its '~'"
            ) from None
        msgspec.structs.force_setattr(self, "cache_dir", folder.absolute())

    def __repr__(self) -> str:
        """Show what was set, but no secret."""
        shown = (
            f"{field.name}={'***' if field.name in _SECRETS else getattr(self, field.name)!r}"
            for field in msgspec.structs.fields(self)
            if getattr(self, field.name) != field.default
        )
        return f"Settings({', '.join(shown)})"

    @property
    def ref(self) -> ModelRef:
        """The one pointer that the four MODEL_ settings mean.

        Raises:
            SettingsError: they mean none, or several that disagree.
        """
        return _resolve_ref(self)

    @property
    def reported_name(self) -> str:
        """The model's name as answers show it; '' for a run that was given none."""
        return self.ref.name or self.model_name


def read_dotenv(path: Path | None = None) -> None:
    """Read `.env` of the working folder into the environment, never over what is there.

    Raises:
        SettingsError: the file cannot be read.
    """
    file = path or Path.cwd() / ".env"
    if not file.is_file():
        return
    try:
        # utf-8-sig: editors on Windows begin a file with a mark that would join the first name.
        load_dotenv(file, override=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{file.name} cannot be read ({error}); allowed is UTF-8 text"
        ) from None


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check every setting. An empty variable counts as unset.

    Raises:
        SettingsError: a value is wrong, or two pointers to a model disagree.
    """
    env = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        text = env.get(field.name.upper(), "").strip()
        if text:
            values[field.name] = _convert(field.name, field.type, text)
    settings = Settings(**values)
    ref = settings.ref
    if ref.name and ref.name != values.get("model_name", ref.name):
        raise _disagreement(
            _shown("model_name", settings.model_name), _shown("model_uri", settings.model_uri)
        )
    if not ref.name and "model_name" not in values:
        # Nobody named this run: the default would be another model's name.
        settings = msgspec.structs.replace(settings, model_name="")
    for name in ("mlflow_tracking_uri", "mlflow_registry_uri"):
        _check_uri(name, getattr(settings, name))
    if settings.admin_open and settings.admin_token:
        raise SettingsError("ADMIN_OPEN=true and ADMIN_TOKEN disagree: allowed is one of them")
    return settings


def _convert(name: str, kind: Any, text: str) -> Any:
    """Convert one variable's text to its field's type, or say in one line what is allowed."""
    try:
        return convert(kind, text, _LONGEST_NAME if name in _NAMES else _LONGEST_TEXT)
    except WrongTextError as error:
        raise SettingsError(f"{_shown(name, text)} is wrong: allowed is {error}") from None


def _shown(name: str, text: str) -> str:
    """Show a variable with its value, cut short, unless the value is a secret."""
    return name.upper() if name in _SECRETS else f"{name.upper()}={show(text)}"


def _check_uri(name: str, uri: str) -> None:
    """Refuse an http URI without a host or with a space; other schemes are MLflow's to judge."""
    if not uri.lower().startswith(("http:", "https:")):
        return
    try:
        parts = urlsplit(uri)
        good = bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", uri)
    except ValueError:
        good = False
    if not good:
        raise SettingsError(
            f"{_shown(name, uri)} is wrong: allowed is a URI such as http://127.0.0.1:5000"
        )


def _resolve_ref(settings: Settings) -> ModelRef:
    """Find the one pointer among MODEL_URI, MODEL_NAME, MODEL_STAGE and MODEL_ALIAS."""
    found: dict[str, ModelRef] = {}
    name = settings.model_name
    if settings.model_uri:
        uri_ref = _parse(settings.model_uri)
        found[_shown("model_uri", settings.model_uri)] = uri_ref
        name = uri_ref.name or name
    if name and not is_model_name(name):
        raise SettingsError(
            f"{_shown('model_name', name)} is wrong: allowed is a registered model's name, which "
            "has no '/', ':' or control character"
        )
    if stage := settings.model_stage:
        found[_shown("model_stage", stage)] = _for_stage(name, stage)
    if alias := settings.model_alias:
        found[_shown("model_alias", alias)] = _for_alias(name, alias)
    if not found:
        return ModelRef.for_stage(name, "Production")
    (first, ref), *others = found.items()
    for shown, other in others:
        if other != ref:
            raise _disagreement(first, shown)
    return ref


def _for_stage(name: str, stage: str) -> ModelRef:
    try:
        return ModelRef.for_stage(name, stage)
    except InvalidModelUriError as error:
        raise SettingsError(f"MODEL_STAGE is wrong: {error}") from None


def _for_alias(name: str, alias: str) -> ModelRef:
    try:
        return ModelRef.for_alias(name, alias)
    except InvalidModelUriError:
        raise SettingsError(
            f"{_shown('model_alias', alias)} is wrong: allowed are letters, digits, '_' and '-'"
        ) from None


def _parse(uri: str) -> ModelRef:
    try:
        return ModelRef.parse(uri)
    except InvalidModelUriError as error:
        raise SettingsError(f"MODEL_URI is wrong: {error}") from None


def _disagreement(first: str, second: str) -> SettingsError:
    return SettingsError(
        f"{first} and {second} disagree: allowed is one pointer to a model, or the same one twice"
    )
