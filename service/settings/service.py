"""What can be set for the service as a whole: its address, its bounds, access, and its folder."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from service.settings.errors import SettingsError
from service.settings.kinds import DAY_S, Bytes, Seconds
from service.settings.texts import COMPAT, HOSTS, ORIGINS, SECRETS, TOKEN, VARIABLES, shown_setting

_OF_GRPC = ("grpc", "grpc_health", "grpc_reflection")
"""Packages of the extra `grpc`."""
_OF_OIDC = ("jwt", "cryptography")
"""Packages of the extra `oidc`."""


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of the whole service, under its variable's name in lower case."""

    models: str = ""
    """Several models: `NAME=URI,NAME=URI`, each of which is served at `/models/NAME`; instead of
    MODEL_URI, MODEL_NAME, MODEL_STAGE and MODEL_ALIAS."""

    models_file: str = ""
    """A TOML file with a table `[models.NAME]` for each model: its `uri`, and any setting of a
    model in lower case; instead of MODELS. It is read again when it changes, and on SIGHUP."""

    default_model: Annotated[str, Meta(max_length=256)] = ""
    """Which of several models answers `/predict`, `/model/info` and the like; without one these
    are 404."""

    ready_when: Literal["default", "all"] = "default"
    """When `/health` is green: `default` where the default model can answer, or any where there is
    no default; `all` where every model can."""

    host: str = "127.0.0.1"
    """The address to listen on; `0.0.0.0` for all of IPv4, `::` for all of IPv6."""

    port: Annotated[int, Meta(ge=0, le=65_535)] = 8080
    """The port to listen on; 0 takes a free one."""

    grpc_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    """The port for the Open Inference Protocol over gRPC, on HOST; 0 for none. It needs the extra
    `grpc`."""

    worker_spin_us: Annotated[int, Meta(ge=0, le=100_000)] = 300
    """Microseconds that a worker polls for its next call before it sleeps, while calls come
    that closely; 0 for never. Only where it has a CPU that the server process does not need."""

    start_timeout_s: Seconds = 60.0
    """Seconds that a helper or worker process may take to start, before it is given any work."""

    drain_lead_s: Annotated[float, Meta(ge=0, le=DAY_S)] = 0.0
    """Seconds that `/health` is red before the listener closes, for load balancers to notice."""

    heartbeat_interval_s: Seconds = 1.0
    """Seconds between two signs of life that a worker owes."""

    max_body_bytes: Bytes = 33_554_432
    """The largest body that is taken; an Arrow stream may have 8 times that once decoded."""

    raw_body_bytes: Annotated[int, Meta(ge=0, le=2**40)] = 262_144
    """Bodies over this size are decoded in the worker, so that they hold up nobody else."""

    max_bodies_bytes: Bytes = 268_435_456
    """What all bodies under way may hold together, and answers that are not taken; larger bodies
    are then refused (503). At least MAX_BODY_BYTES."""

    max_connections: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Connections that are kept open, by HTTP and as many by gRPC; 0 for 10,000 at most, and never
    more than the limit of descriptors allows."""

    head_timeout_s: Seconds = 10.0
    """Seconds that the head of a request may take to arrive; then 408."""

    body_timeout_s: Seconds = 10.0
    """Seconds for which a body may stand still, or an answer that is not taken; in as many at least
    1 kB a second has to come."""

    keep_versions: Annotated[int, Meta(ge=1, le=10_000)] = 3
    """Versions of each model to keep on disk; what some service needs is never removed."""

    env_cache_bytes: Bytes = 21_474_836_480
    """What versions' own environments may take on the disk together; beyond it those are removed
    that were not used for longest, and none that is in use."""

    cache_dir: Path = Path(".hotswap")
    """The folder for fetched versions and temporary files."""

    allowed_hosts: Annotated[str, Meta(pattern=HOSTS)] = ""
    """Names, separated by commas, that callers may have in `Host` besides loopback's own where the
    service listens on loopback alone, as behind a proxy that keeps `Host`; `*` for any."""

    ssl_certfile: str = ""
    """The certificate for HTTPS and for gRPC over TLS, as PEM, followed by those between it and its
    authority's; without one both are open text. It is read again when it changes."""

    ssl_keyfile: str = ""
    """The certificate's key as PEM, not encrypted, where it does not stand in SSL_CERTFILE as
    well."""

    ssl_cafile: str = ""
    """The authorities, as PEM, that `hotswap status`, `pin` and `unpin` take the service's
    certificate from, under the name HOST; without them they take the one of SSL_CERTFILE alone,
    under any name."""

    cors_origins: Annotated[str, Meta(pattern=ORIGINS)] = ""
    """Origins, separated by commas, whose web pages may read what this service answers and ask for
    predictions; `*` for any. Never do they change what is served."""

    api_keys_file: str = ""
    """A file of keys, which `hotswap key new` makes: with it every call but a probe wants one, as
    `Authorization: Bearer ...`. It is read again when it changes."""

    oidc_issuer: str = ""
    """The identity provider whose tokens callers may send as keys, as its tokens name it (`iss`):
    an https address. Its keys are fetched from there. It needs the extra `oidc`."""

    oidc_jwks_file: str = ""
    """The identity provider's public keys as a JSON Web Key Set, where they are not to be fetched;
    it is read again when it changes. Without OIDC_ISSUER as well any `iss` will do."""

    oidc_audience: str = ""
    """What tokens have to be for (`aud`): one of these, separated by commas."""

    oidc_scope_claim: str = "scope"
    """The claim that has a token's scopes: `predict`, `read` and `admin`, each also as
    `hotswap:predict`; `a.b` is the claim `b` in `a`."""

    oidc_models_claim: str = ""
    """The claim that has the names of the models a token may use, `*` for all; a token without it
    may use none. Where this is not set every token may use every model."""

    admin_token: Annotated[str, Meta(pattern=TOKEN)] = ""
    """The bearer token that `/reload-model` and `/model/pin` want, wherever the call comes from:
    the short form of one key with the scope `admin`. Without it, and without API_KEYS_FILE, they
    are open on loopback alone."""

    hotswap_key: Annotated[str, Meta(pattern=TOKEN)] = ""
    """The key that `hotswap status`, `pin` and `unpin` send; the ADMIN_TOKEN where it is not set.
    The service itself has no use for it."""

    admin_open: bool = False
    """Whether `/reload-model` and `/model/pin` are open to all, web pages apart."""

    webhook_secret: Annotated[str, Meta(pattern=TOKEN)] = ""
    """The secret that MLflow signs its webhooks with; without one, `/webhooks/mlflow` does not
    exist."""

    worker_env: Annotated[str, Meta(pattern=VARIABLES)] = ""
    """Variables that model code gets although they are kept from it as secrets (`AWS_*`), or does
    not get (`-MY_NAME`), separated by commas; `*` ends a name for all that begin so."""

    page: bool = True
    """Whether `/` and `/ui/NAME` show people what serves, live; off, nothing is kept for it."""

    metrics_compat: Annotated[str, Meta(pattern=COMPAT)] = ""
    """Other servers whose names for metrics `/metrics` has besides its own, separated by commas:
    `triton`, `kserve`, `mlserver`."""

    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    """The least severe lines to log."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """How lines are logged; `auto` is for people on a terminal, else JSON."""

    access_log: bool = False
    """Whether each request is logged, by a line of level `info` with its route, status, time and
    version; never with its body."""

    def __post_init__(self) -> None:
        """Make the folder absolute: what is started later may stand in another one.

        Raises:
            SettingsError: it begins with a user's home folder, and there is none; or WORKER_ENV
                names a secret of the service's own; or GRPC_PORT is set without the extra.
        """
        try:
            folder = self.cache_dir.expanduser()
        except RuntimeError:
            raise SettingsError(
                f"{shown_setting('cache_dir', str(self.cache_dir))} is wrong: allowed is a folder; "
                "no home folder is known for its '~'"
            ) from None
        msgspec.structs.force_setattr(self, "cache_dir", folder.absolute())
        never = {name.upper() for name in SECRETS} & set(
            re.split(r"[\s,]+", self.worker_env.upper())
        )
        if never:
            raise SettingsError(
                f"{shown_setting('worker_env', self.worker_env)} is wrong: allowed is any "
                f"variable but {' and '.join(sorted(never))}, known to the server process alone"
            )
        if (self.oidc_issuer or self.oidc_jwks_file) and not all(map(find_spec, _OF_OIDC)):
            name = "oidc_issuer" if self.oidc_issuer else "oidc_jwks_file"
            raise SettingsError(
                f"{shown_setting(name, getattr(self, name))} wants an extra that is not installed: "
                "pip install 'mlflow-hotswap[oidc]'"
            )
        if self.grpc_port and not all(map(find_spec, _OF_GRPC)):
            raise SettingsError(
                f"{shown_setting('grpc_port', str(self.grpc_port))} is wrong: allowed is 0, or "
                "any port once the extra is installed: pip install 'mlflow-hotswap[grpc]'"
            )

    def __repr__(self) -> str:
        """Show what was set, but no secret."""
        shown = (
            f"{field.name}={'***' if field.name in SECRETS else getattr(self, field.name)!r}"
            for field in msgspec.structs.fields(self)
            if getattr(self, field.name) != field.default
        )
        return f"ServiceSettings({', '.join(shown)})"
