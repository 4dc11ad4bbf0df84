"""The OpenAPI document: each protocol's calls, by the contracts of the versions that serve."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import msgspec

from service.access.principal import EVERYONE, Principal
from service.core.version_names import VersionNames
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.control import described as control
from service.handlers.description import (
    HEADERS,
    PARAMETERS,
    Described,
    Description,
    PermissionOf,
    Serving,
    words_for,
)
from service.handlers.inference import described as inference
from service.handlers.openapi import described as own
from service.handlers.permissions import visible
from service.handlers.predictions import described as predictions
from service.handlers.scoring import described as scoring

PARTS: tuple[Callable[[Description, Sequence[Described]], None], ...] = (
    predictions.describe,
    scoring.describe,
    inference.describe,
    control.describe,
    own.describe,
)
"""What adds each protocol's calls: a new one is named here."""

_MOST_KEPT = 16
"""So many documents are kept, each for the keys of some models."""
_TITLE = "mlflow-hotswap"
_ABOUT = """Serves what the MLflow registry promotes.

This document is made from the versions that serve now, and another one after each promotion: its \
`ETag` is another one then, and `x-model-version` says which version it is about."""
_TAGS = {
    "predict": "Rows or columns, as JSON or Arrow",
    "scoring": "MLflow's scoring protocol, as `mlflow models serve` speaks it",
    "inference": "The Open Inference Protocol, version 2, as Triton and KServe speak it",
    "model": "What serves, and how it came to",
    "operate": "The calls of operators",
    "health": "For probes",
    "docs": "This document, and a page that shows it",
}


class Written(NamedTuple):
    """A document as it is sent."""

    body: bytes
    etag: str
    headers: Mapping[str, str]
    """Which version it is about, where that is one."""


class Documents:
    """Holds the document of what serves, and makes another one when it is asked for after a swap.

    A swap itself makes none. It is made in a thread, in pieces: thousands of columns take their
    time, and nothing else waits for it.
    """

    def __init__(self, deployments: Deployments, permission_of: PermissionOf | None = None) -> None:
        """`permission_of` is there where keys are wanted."""
        self._deployments = deployments
        self._permission_of = permission_of
        self._kept: dict[frozenset[str] | None, tuple[tuple[Described, ...], Written]] = {}
        """What was written last, by the models that a caller may use, and what it was about."""
        self._one_at_a_time = anyio.Lock()

    async def current(self, caller: Principal = EVERYONE) -> Written:
        """Return the document of what serves now, as far as a caller may use it."""
        kept = self._kept.get(caller.models)
        if kept is not None and kept[0] == self._look(caller):
            return kept[1]
        async with self._one_at_a_time:
            about = self._look(caller)
            kept = self._kept.get(caller.models)
            if kept is not None and kept[0] == about:
                return kept[1]
            service = self._deployments.settings.service
            written = await anyio.to_thread.run_sync(
                lambda: write(
                    about,
                    token_wanted=bool(service.admin_token),
                    hooks=bool(service.webhook_secret),
                    permission_of=self._permission_of,
                )
            )
            self._kept.pop(caller.models, None)
            if len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[caller.models] = about, written
        return written

    def _look(self, caller: Principal) -> tuple[Described, ...]:
        """Return what serves now, in one step of the event loop."""
        default = self._deployments.find("")
        shown = visible(self._deployments, caller)
        words = words_for(shown)
        return tuple(
            Described(name, words[name], one is default, _serving(one))
            for name, one in shown.items()
        )


def write(
    models: Sequence[Described],
    *,
    token_wanted: bool,
    hooks: bool,
    permission_of: PermissionOf | None = None,
) -> Written:
    """Return the document about these models."""
    document = Description(
        token_wanted=token_wanted, takes_webhooks=hooks, permission_of=permission_of
    )
    for describe in PARTS:
        describe(document, models)
    body = b"".join(_written(_head(models), document))
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    default = _default(models)
    names = VersionNames(default.model_name, default.version) if default else None
    return Written(body, etag, names.headers if names else {})


def _serving(deployment: Deployment) -> Serving | None:
    model = deployment.routes.current
    if model is None:
        return None
    return Serving(
        model.version.name,
        model.version.version,
        model.contract,
        model.proof.example if model.proof is not None else b"",
        model.pool.settings.answers.non_finite_is_null,
    )


def _default(models: Sequence[Described]) -> Serving | None:
    return next((model.serving for model in models if model.is_default), None)


def _head(models: Sequence[Described]) -> dict[str, Any]:
    """Return the document but for its calls and schemas."""
    default = _default(models)
    info: dict[str, Any] = {
        "title": f"{default.model_name} by {_TITLE}" if default else _TITLE,
        "version": default.version if default else _own_version(),
        "description": _ABOUT,
        "x-models": [
            {
                "name": model.name,
                "model_name": model.serving.model_name if model.serving else None,
                "model_version": model.serving.version if model.serving else None,
            }
            for model in models
        ],
    }
    tags = [{"name": name, "description": about} for name, about in _TAGS.items()]
    return {"openapi": "3.1.0", "info": info, "tags": tags}


def _written(head: dict[str, Any], document: Description) -> Iterator[bytes]:
    """Yield the document's JSON, in pieces: one of all of it would hold the interpreter."""
    yield msgspec.json.encode(head)[:-1] + b',"paths":'
    yield from _object(document.paths)
    yield b',"components":{"schemas":'
    yield from _object(document.schemas)
    yield b',"responses":'
    yield from _object(document.responses)
    yield b',"headers":' + msgspec.json.encode(HEADERS)
    yield b',"parameters":' + msgspec.json.encode(PARAMETERS)
    yield b',"examples":'
    yield from _object(document.examples)
    told = "A key of this service" if document.keys_wanted else "The ADMIN_TOKEN"
    schemes = {"token": {"type": "http", "scheme": "bearer", "description": told}}
    if document.keys_wanted or document.token_wanted:
        yield b',"securitySchemes":' + msgspec.json.encode(schemes)
    yield b"}}"


def _object(members: Mapping[str, Any]) -> Iterator[bytes]:
    mark = b"{"
    for name, value in members.items():
        yield mark + msgspec.json.encode(name) + b":" + msgspec.json.encode(value)
        mark = b","
    yield b"}" if members else b"{}"


def _own_version() -> str:
    try:
        return version(_TITLE)
    except PackageNotFoundError:  # run from its sources
        return "0"
