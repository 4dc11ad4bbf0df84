"""Which environment variables each kind of process gets: model code does not get credentials.

The server process takes what model code must not see out of its own environment before it starts
another process, so that the fork server, the resource tracker and the workers never had it. What
the registry processes need of it reaches them through their pipes.
"""

import os
from collections.abc import Iterable, Mapping, MutableMapping
from urllib.parse import urlsplit, urlunsplit

from service.workers.secret_names import holds_a_secret

TRACKING_URI = "MLFLOW_TRACKING_URI"
REGISTRY_URI = "MLFLOW_REGISTRY_URI"

OURS = ("ADMIN_TOKEN", "HOTSWAP_KEY", "WEBHOOK_SECRET")
"""Known to the server process alone."""

REGISTRY_CREDENTIALS = (
    "DATABRICKS_*",
    "MLFLOW_AUTH_*",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "MLFLOW_KERBEROS_*",
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_UC_OSS_TOKEN",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",
    # They may hold a password; workers get them without it.
    TRACKING_URI,
    REGISTRY_URI,
)
"""Known to the server process and the registry processes; `*` ends what all such names begin with.

So is whatever else holds a secret: those of object stores, from which versions are fetched, too.
"""


OF_EXPORTERS = ("OTEL_*",)
"""What of these holds a secret is known to the exporters alone, in the server process."""


class WorkerVariables:
    """Tells which variables model code gets: all but secrets, and as WORKER_ENV says."""

    def __init__(self, worker_env: str = "") -> None:
        names = [name.strip() for name in worker_env.split(",") if name.strip()]
        self._passed = [name for name in names if not name.startswith("-")]
        self._kept_back = [name.removeprefix("-") for name in names if name.startswith("-")]

    def may_see(self, name: str, value: str = "") -> bool:
        """Return whether model code gets a variable. What WORKER_ENV keeps back wins."""
        if _is_among(name, OURS) or _is_among(name, self._kept_back):
            return False
        if _is_among(name, self._passed):
            return True
        return not (_is_among(name, REGISTRY_CREDENTIALS) or holds_a_secret(name, value))

    def without_credentials(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return what the registry processes are given as model code may have it.

        Addresses have no user, password or query then; other variables that it must not see are
        left out.
        """
        return {
            name: value if self.may_see(name, value) else _bare(value)
            for name, value in environment.items()
            if self.may_see(name, value) or name in {TRACKING_URI, REGISTRY_URI}
        }

    def withhold_for_exporters(
        self, environ: MutableMapping[str, str] = os.environ
    ) -> dict[str, str]:
        """Take out of the environment what exporters need and model code must not see; return it.

        To be called before `withhold`, which gives it to nobody.
        """
        return {
            name: environ.pop(name)
            for name, value in list(environ.items())
            if _is_among(name, OF_EXPORTERS) and not self.may_see(name, value)
        }

    def withhold(self, environ: MutableMapping[str, str] = os.environ) -> dict[str, str]:
        """Take out of the environment what model code must not see.

        Return what of it the registry processes need. To be called before a process is started,
        and once: what was taken is nowhere else.
        """
        taken = {
            name: environ.pop(name)
            for name, value in list(environ.items())
            if not self.may_see(name, value)
        }
        nobodys = (*OURS, *OF_EXPORTERS)
        return {name: value for name, value in taken.items() if not _is_among(name, nobodys)}


def _is_among(name: str, patterns: Iterable[str]) -> bool:
    # In any case: on Windows names have none, and elsewhere a second spelling hides nothing.
    name = name.upper()
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in map(str.upper, patterns)
    )


def _bare(uri: str) -> str:
    """Return a URI without user, password and query; '' for what can't be read as one."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    if parts.netloc and "@" in parts.path:
        # A password with an unescaped slash: nobody can tell where it ends.
        return ""
    netloc = parts.netloc.rpartition("@")[2]
    if netloc == parts.netloc and not parts.query:
        return uri
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))
