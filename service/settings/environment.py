"""Settings are read from the environment, into which `.env` is read first."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
from dotenv import load_dotenv

from service.core.environments import EnvironmentMode
from service.settings.addresses import is_issuer
from service.settings.deployment import POINTER, DeploymentSettings, disagreement
from service.settings.errors import SettingsError
from service.settings.models import read_models, read_models_file
from service.settings.service import ServiceSettings
from service.settings.settings import UNNAMED, Settings
from service.settings.texts import convert_setting, shown_setting
from service.settings.written import without_quotes

_SHARED_NAME = "ENVIRONMENT"


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
        SettingsError: a value is wrong, or two settings disagree.
    """
    env = os.environ if environ is None else environ
    left_out = _of_others(env)
    if not left_out:
        return _load(env)
    settings = _load({name: text for name, text in env.items() if name != _SHARED_NAME})
    return msgspec.structs.replace(settings, left_out=left_out)


def _of_others(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variable of ours that others use too, where it holds none of our values.

    Many a container has ENVIRONMENT=production; it must start as it did before this was a setting.
    """
    text = env.get(_SHARED_NAME, "").strip()
    if not text or without_quotes(text).lower() in get_args(EnvironmentMode):
        return ()
    return (shown_setting(_SHARED_NAME, text),)


def _load(env: Mapping[str, str]) -> Settings:
    service = load_service_settings(env)
    values = _values(DeploymentSettings, env)
    several = [name for name in ("models", "models_file") if getattr(service, name)]
    if not several:
        deployment = _followed(values)
        deployment.check()
        name = deployment.reported_name or UNNAMED
        return Settings.of(service, {name: deployment}, deployment)
    for other in (*several[1:], *(name for name in POINTER if name in values)):
        raise SettingsError(
            f"{several[0].upper()} and {other.upper()} disagree: allowed is one of MODELS, "
            "MODELS_FILE, and a pointer by MODEL_URI, MODEL_NAME, MODEL_STAGE and MODEL_ALIAS"
        )
    defaults = DeploymentSettings(**values)
    defaults.check()
    if service.models:
        deployments = read_models(service.models, defaults)
    else:
        deployments = read_models_file(Path(service.models_file), defaults)
    return Settings.of(service, deployments, defaults)


def load_service_settings(environ: Mapping[str, str] | None = None) -> ServiceSettings:
    """Read and check the settings of the whole service alone, and no file of models.

    Raises:
        SettingsError: as `load_settings` does.
    """
    env = os.environ if environ is None else environ
    service = ServiceSettings(**_values(ServiceSettings, env))
    for name in ("admin_token", "api_keys_file", "oidc_issuer", "oidc_jwks_file"):
        if service.admin_open and getattr(service, name):
            raise SettingsError(
                f"ADMIN_OPEN=true and {name.upper()} disagree: allowed is one of them"
            )
    _check_oidc(service)
    if service.ssl_keyfile and not service.ssl_certfile:
        raise SettingsError("SSL_KEYFILE is set without SSL_CERTFILE: allowed are both, or neither")
    return service


def _check_oidc(service: ServiceSettings) -> None:
    """Look whether the settings of an identity provider fit each other. Raise SettingsError."""
    if not service.oidc_issuer and not service.oidc_jwks_file:
        for name in ("oidc_audience", "oidc_models_claim"):
            if getattr(service, name):
                raise SettingsError(
                    f"{name.upper()} is set without OIDC_ISSUER or OIDC_JWKS_FILE: allowed is "
                    "neither, or one of these as well"
                )
        return
    if not service.oidc_audience.strip(", "):
        raise SettingsError(
            "OIDC_AUDIENCE is wanted with OIDC_ISSUER or OIDC_JWKS_FILE: without it a token for "
            "any other service of the identity provider would do here"
        )
    if service.oidc_issuer and not is_issuer(service.oidc_issuer):
        raise SettingsError(
            f"{shown_setting('oidc_issuer', service.oidc_issuer)} is wrong: allowed is an https "
            "address without a query, such as https://login.example.com/realm; http on loopback"
        )


def _followed(values: dict[str, Any]) -> DeploymentSettings:
    """Return the settings of the one model that the environment is about."""
    settings = DeploymentSettings(**values)
    ref = settings.ref
    if ref.name and ref.name != values.get("model_name", ref.name):
        raise disagreement(
            shown_setting("model_name", settings.model_name),
            shown_setting("model_uri", settings.model_uri),
        )
    if not ref.name and "model_name" not in values:
        # Nobody named this run: the default would be another model's name.
        return msgspec.structs.replace(settings, model_name="")
    return settings


def _values(kind: type[msgspec.Struct], env: Mapping[str, str]) -> dict[str, Any]:
    """Return what the environment says of a struct's fields."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        text = env.get(field.name.upper(), "").strip()
        if text:
            values[field.name] = convert_setting(field.name, field.type, text)
    return values
