"""How an answer names the version that gave it."""

from urllib.parse import quote

from service.core.versions import ModelVersion


def version_headers(version: ModelVersion) -> dict[str, str]:
    """Return `x-model-name` and `x-model-version`; percent-encoded beyond ASCII (RFC 8187)."""
    return {
        "x-model-name": quote(version.name, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~"),
        "x-model-version": quote(version.version, safe=":-_."),
    }
