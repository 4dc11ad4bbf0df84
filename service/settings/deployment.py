"""What can be set for each model that is served: its pointer, its workers, batches and gates."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from service.core.environments import EnvironmentMode
from service.core.versions import InvalidModelUriError, ModelRef, is_model_name
from service.core.worker_limits import WorkerLimits
from service.settings.errors import SettingsError
from service.settings.kinds import DAY_S, Seconds
from service.settings.texts import shown_setting
from service.settings.worker_limits import read_worker_limits

_OF_SIGNING = ("model_signing", "OpenSSL")
"""Packages of the extra `signing`."""
POINTER = ("model_uri", "model_name", "model_stage", "model_alias")
"""The settings that say which model is followed, in the environment."""


class DeploymentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of one model, under its variable's name in lower case."""

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

    workers: Annotated[int, Meta(ge=0, le=256)] = 1
    """Worker processes for each loaded version; 0 shares the CPUs that the server process does not
    need among the models, up to 4 workers each."""

    threads_per_worker: Annotated[int, Meta(ge=0, le=1024)] = 0
    """Threads that a worker computes with; 0 shares the usable CPUs among the workers
    of all models."""

    worker_limits: str = ""
    """What model code may take and do at most, separated by commas: `memory=2GiB` for each worker,
    by watching, `files=256`, `no_new_privileges`, `no_network`. What this system can't keep is a
    wrong setting."""

    poll_interval_s: Seconds = 2.0
    """Seconds between two looks at the registry."""

    registry_timeout_s: Seconds = 10.0
    """Seconds that the registry has to answer one look."""

    fetch_timeout_s: Seconds = 900.0
    """Seconds that a version's artifacts may take to arrive."""

    load_timeout_s: Seconds = 300.0
    """Seconds that a version may take to load and to pass its gates, and `/reload-model` to
    answer."""

    request_timeout_s: Seconds = 30.0
    """Seconds that a request may take; then 504, and a worker that hangs is replaced."""

    drain_timeout_s: Annotated[float, Meta(ge=0, le=DAY_S)] = 30.0
    """Seconds that accepted requests have to end, when a version or the service does."""

    probation_s: Annotated[float, Meta(ge=0, le=DAY_S)] = 120.0
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

    max_batch_rows: Annotated[int, Meta(ge=1, le=10_000_000)] = 4096
    """Rows that are answered in one call of the model at most; a larger request goes alone."""

    max_batch_wait_ms: Annotated[float, Meta(ge=0, le=10_000)] = 10.0
    """Milliseconds that a batch waits at most for callers that tend to come back immediately."""

    max_queue_rows: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    """Rows that may wait for a worker; 0 for as many as can be answered within REQUEST_TIMEOUT_S.
    More are refused with 503."""

    max_queue_bytes: Annotated[int, Meta(ge=0, le=2**40)] = 0
    """Bytes of all bodies that wait for a worker; 0 for eight times MAX_BODY_BYTES. More are
    refused with 503."""

    unknown_fields: Literal["ignore", "refuse"] = "ignore"
    """What becomes of fields that the model does not know."""

    rows_out: Literal["same", "any"] = "same"
    """How many rows a model answers: `same` as it gets, `any` for time series and the like, which
    are then called request by request, by pyfunc alone."""

    non_finite: Literal["error", "null"] = "error"
    """What becomes of NaN and infinity in an answer: an error, at load too, or null."""

    invocations_nonfinite: Literal["literal", "null", "error"] = "literal"
    """The same for answers by MLflow's scoring protocol: `NaN` and `Infinity` as MLflow writes
    them, which strict JSON has not, null, or an error."""

    on_unpromoted: Literal["keep", "unload"] = "keep"
    """What becomes of the served version when nothing is promoted any more."""

    on_mismatch: Literal["warn", "refuse"] = "warn"
    """What becomes of a version that wants another Python or other packages than are installed,
    where it shares these (ENVIRONMENT=shared)."""

    environment: EnvironmentMode = "shared"
    """Which Python packages a version runs with: `shared` with what is installed for the service,
    `auto` with these where it needs no others, and else with its own, `own` always with its own.
    Its own are installed beside those of the service. It needs the extra `environments`. Any other
    value is taken for another program's, and counts as not set."""

    env_timeout_s: Seconds = 1800.0
    """Seconds that a version's environment may take to be built, downloads included; then it is
    tried again."""

    allow_sdist: bool = False
    """Whether a version's environment may be built from source packages, which run their own code
    meanwhile, with the network on."""

    env_allow_urls: bool = False
    """Whether what a version says of its packages may name URLs, paths, git sources and indexes of
    its own. Else a version that does is refused."""

    on_contract_change: Literal["refuse", "allow"] = "refuse"
    """What becomes of a version that does not take what callers send, or give what they read."""

    compiled: Literal["auto", "off"] = "auto"
    """Whether faster ways to call a model are looked for once it serves, and used where they give
    the same answers."""

    compiled_rtol: Annotated[float, Meta(ge=0, le=0.01)] = 1e-12
    """How far they may be from the model's own numbers, as a share of the number or of the largest
    one in its column; 0 takes the same bits only, `1e-6` single precision too."""

    compiled_wait_s: Annotated[float, Meta(ge=0, le=600)] = 1
    """How long a promotion waits for what is compiled within a second or so, where the version that
    serves answers by compiled predictors, so that the new one is as fast from its first request on;
    0 for not at all."""

    require_signed: Annotated[str, Meta(max_length=1000)] = ""
    """A public key in PEM, or a folder of such files (`.pem`, `.pub`): a version is loaded only if
    one of these keys has signed exactly its files, in the OpenSSF model-signing format. It needs
    the extra `signing`."""

    signatures_uri: Annotated[str, Meta(max_length=1000)] = ""
    """Where signatures are kept besides `model.sig` beside the artifacts, for those that can't be
    added to: a folder, or any URI that MLflow has artifacts at, such as `s3://BUCKET/signatures`."""

    write_back: bool = False
    """Whether tags on the model version tell in MLflow's pages what became of it."""

    @property
    def ref(self) -> ModelRef:
        """The one pointer that the four MODEL_ settings mean.

        Raises:
            SettingsError: they mean none, or several that disagree.
        """
        return _resolve_ref(self)

    @property
    def limits(self) -> WorkerLimits:
        """What WORKER_LIMITS says.

        Raises:
            SettingsError: it can't be read, or can't be kept on this system.
        """
        return read_worker_limits(self.worker_limits)

    @property
    def reported_name(self) -> str:
        """The model's name as answers show it; '' for a run that was given none."""
        return self.ref.name or self.model_name

    def check(self) -> None:
        """Look at what no type says.

        Raises:
            SettingsError: an address has no host, a limit of workers is wrong, signatures are
                required that can't be verified here, or environments that can't be built here.
        """
        _ = self.limits
        if self.environment != "shared" and not _has_uv():
            raise SettingsError(
                f"{shown_setting('environment', self.environment)} wants uv, which is not "
                "installed: pip install 'mlflow-hotswap[environments]'"
            )
        for name in ("mlflow_tracking_uri", "mlflow_registry_uri"):
            _check_uri(name, getattr(self, name))
        if self.trusted_keys is not None:
            _check_keys(self.require_signed, self.trusted_keys)

    @property
    def trusted_keys(self) -> Path | None:
        """The absolute path that REQUIRE_SIGNED means; None where it is not set."""
        return Path(self.require_signed).absolute() if self.require_signed else None

    @property
    def signatures_place(self) -> str:
        """SIGNATURES_URI as any process understands it, wherever that runs."""
        place = self.signatures_uri
        # `mlflow-artifacts:/signatures` has one slash.
        is_folder = bool(place) and ":/" not in place
        return str(Path(place).absolute()) if is_folder else place


def _has_uv() -> bool:
    """Whether what builds environments is there, as a package or on PATH."""
    return find_spec("uv") is not None or shutil.which("uv") is not None


def _check_keys(setting: str, keys: Path) -> None:
    """Refuse keys that can't be read, or that nothing here could verify by. Reads from the disk."""
    shown = shown_setting("require_signed", setting)
    if not all(map(find_spec, _OF_SIGNING)):
        raise SettingsError(
            f"{shown} is wrong: allowed is none, or keys once the extra is installed: "
            "pip install 'mlflow-hotswap[signing]'"
        )
    from service.settings.public_keys import read_public_keys  # noqa: PLC0415 - slow, and only wanted where it is set

    try:
        found = read_public_keys(keys)
    except SettingsError as error:
        raise SettingsError(f"{shown} is wrong: {error}") from None
    if not found:
        raise SettingsError(
            f"{shown} is wrong: the folder holds no key; allowed are public keys in PEM, in files "
            "that end with .pem or .pub"
        )


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
            f"{shown_setting(name, uri)} is wrong: allowed is a URI such as http://127.0.0.1:5000"
        )


def _resolve_ref(settings: DeploymentSettings) -> ModelRef:
    """Find the one pointer among MODEL_URI, MODEL_NAME, MODEL_STAGE and MODEL_ALIAS."""
    found: dict[str, ModelRef] = {}
    name = settings.model_name
    if settings.model_uri:
        uri_ref = _parse(settings.model_uri)
        found[shown_setting("model_uri", settings.model_uri)] = uri_ref
        name = uri_ref.name or name
    if name and not is_model_name(name):
        raise SettingsError(
            f"{shown_setting('model_name', name)} is wrong: allowed is a registered model's name, "
            "which has no '/', ':' or control character"
        )
    if stage := settings.model_stage:
        found[shown_setting("model_stage", stage)] = _for_stage(name, stage)
    if alias := settings.model_alias:
        found[shown_setting("model_alias", alias)] = _for_alias(name, alias)
    if not found:
        return ModelRef.for_stage(name, "Production")
    (first, ref), *others = found.items()
    for shown, other in others:
        if other != ref:
            raise disagreement(first, shown)
    return ref


def disagreement(first: str, second: str) -> SettingsError:
    """Return the error for two settings that mean two pointers."""
    return SettingsError(
        f"{first} and {second} disagree: allowed is one pointer to a model, or the same one twice"
    )


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
            f"{shown_setting('model_alias', alias)} is wrong: allowed are letters, digits, '_' "
            "and '-'"
        ) from None


def _parse(uri: str) -> ModelRef:
    try:
        return ModelRef.parse(uri)
    except InvalidModelUriError as error:
        raise SettingsError(f"MODEL_URI is wrong: {error}") from None
