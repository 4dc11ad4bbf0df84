"""Which environment variables uv gets: where packages come from, and how that is reached."""

import os
from collections.abc import Mapping, MutableMapping

OF_BUILDER = ("UV_*",)
"""Known to the builder alone: workers and registry processes get none of them."""
_PASSED = frozenset(
    {
        *("UV_CONCURRENT_DOWNLOADS", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"),
        *("UV_HTTP_CONNECT_TIMEOUT", "UV_HTTP_RETRIES", "UV_HTTP_TIMEOUT", "UV_INDEX"),
        *("UV_INSECURE_HOST", "UV_KEYRING_PROVIDER", "UV_NATIVE_TLS", "UV_NO_INDEX", "UV_OFFLINE"),
        *("UV_PYTHON_DOWNLOADS", "UV_PYTHON_INSTALL_DIR", "UV_PYTHON_INSTALL_MIRROR"),
        *("UV_PYTHON_PREFERENCE", "UV_SYSTEM_CERTS", "UV_TORCH_BACKEND"),
        *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
        *("SSL_CERT_DIR", "SSL_CERT_FILE", "SSL_CLIENT_CERT", "NETRC"),
    }
)
_OF_INDEXES = "UV_INDEX_"
_PLAIN = frozenset(
    {"HOME", "LANG", "LC_ALL", "PATH", "SYSTEMROOT", "USERPROFILE", "XDG_DATA_HOME", "LOCALAPPDATA"}
)
"""What any program may need, and any program may have."""


def builders_variables(*environments: Mapping[str, str]) -> dict[str, str]:
    """Return of these environments what uv gets, the last one's where several have one."""
    return {
        name: value
        for environment in environments
        for name, value in environment.items()
        if name.upper() in _PASSED or name.upper().startswith(_OF_INDEXES) or name.upper() in _PLAIN
    }


def plain_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Return of the builder's variables what packages' own code may have: no credential."""
    return {name: value for name, value in variables.items() if name.upper() in _PLAIN}


def withhold_for_builder(environ: MutableMapping[str, str] = os.environ) -> dict[str, str]:
    """Take out of the environment what is uv's alone, and return what uv gets.

    To be called before a process is started, so that none of them ever had it.
    """
    found = builders_variables(environ)
    for name in list(environ):
        if name.upper().startswith(OF_BUILDER[0].rstrip("*")):
            del environ[name]
    return found
