"""A pointer to a model (ModelRef), the version that it means, and that version on disk."""

import hashlib
import re
from pathlib import Path

import msgspec

from service.core.text_enum import TextEnum

STAGES = ("None", "Staging", "Production", "Archived")
"""MLflow's stages, in its own spelling (`mlflow.entities.model_registry.model_version_stages`)."""

_STAGE_BY_LOWER = {stage.lower(): stage for stage in STAGES}
_NAME = r"(?P<name>[^/:\x00-\x1f\x7f\ud800-\udfff]{1,1000})"
"""A name that MLflow takes, '@' included, without what no header, line or file can hold."""
_NAME_ALONE = re.compile(_NAME)
_RUN = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.+)")
_ALIAS_NAME = re.compile(r"[\w-]{1,1000}")
_ALIAS = re.compile(rf"models:/{_NAME}@(?P<alias>[\w-]{{1,1000}})")
_SUFFIX = re.compile(rf"models:/{_NAME}/(?P<suffix>[^/@]+)")
_LOGGED = re.compile(r"models:/(?P<id>m-[\w-]+)")
_SHOWN = 200
"""So many characters of a wrong text are repeated in its error."""
_READABLE_BYTES = 180
"""A key's readable part has at most so many bytes: a file's name has at most 255."""
_NUMBER = re.compile(r"[0-9]{1,19}")


class InvalidModelUriError(ValueError):
    """A text that is none of the model URIs that can be followed; its message says which can."""


def is_model_name(text: str) -> bool:
    """Whether a registered model may have this name, and be served under it."""
    return _NAME_ALONE.fullmatch(text) is not None


def version_number(text: str) -> str | None:
    """Return a version number without zeros in front, None for a text that is none.

    At most 19 digits, as a 64-bit integer has: Python's own `int` raises for thousands of them.
    """
    return str(int(text)) if _NUMBER.fullmatch(text) else None


class RefKind(TextEnum):
    """The forms that a pointer to a model takes."""

    STAGE = "stage"
    ALIAS = "alias"
    VERSION = "version"
    LATEST = "latest"
    LOGGED_MODEL = "logged_model"
    RUN = "run"


IMMUTABLE_KINDS = frozenset({RefKind.VERSION, RefKind.LOGGED_MODEL, RefKind.RUN})
"""Forms that always mean the same artifacts: once they serve there is nothing to poll for."""


class ModelRef(msgspec.Struct, frozen=True):
    """A pointer to a model, which may move.

    `name` is the registered model's name ('' for a run or a logged model, which have none), and
    `target` what the pointer says of it: the stage, alias, version number, run id or model id.
    """

    kind: RefKind
    uri: str
    name: str
    target: str

    @classmethod
    def parse(cls, uri: str) -> "ModelRef":
        """Read one of MLflow's model URIs. Raise InvalidModelUriError for anything else.

        As MLflow does it: what follows the last '@' is an alias, unless a '/' comes after it.
        """
        uri = uri.strip()
        if found := _RUN.fullmatch(uri):
            return cls(RefKind.RUN, uri, "", found["run"])
        if found := _ALIAS.fullmatch(uri):
            return cls.for_alias(found["name"], found["alias"])
        if found := _SUFFIX.fullmatch(uri):
            return cls.for_stage(found["name"], found["suffix"])
        if found := _LOGGED.fullmatch(uri):
            return cls(RefKind.LOGGED_MODEL, uri, "", found["id"])
        raise InvalidModelUriError(
            f"{uri[:_SHOWN]!r} is no model URI; allowed are models:/NAME/STAGE, "
            "models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest, models:/m-ID and "
            "runs:/RUN_ID/PATH"
        )

    @classmethod
    def for_alias(cls, name: str, alias: str) -> "ModelRef":
        """Point at a registered model's alias, with or without its '@'.

        Raise InvalidModelUriError for what MLflow takes for no alias.
        """
        alias = alias.removeprefix("@")
        if not _ALIAS_NAME.fullmatch(alias):
            raise InvalidModelUriError(
                f"{alias[:_SHOWN]!r} is no alias; allowed are letters, digits, '_' and '-'"
            )
        return cls(RefKind.ALIAS, f"models:/{name}@{alias}", name, alias)

    @classmethod
    def for_stage(cls, name: str, stage: str) -> "ModelRef":
        """Point at a stage in any case, a version number, or 'latest'.

        Raise InvalidModelUriError for a word that is none of them.
        """
        if (number := version_number(stage)) is not None:
            return cls(RefKind.VERSION, f"models:/{name}/{number}", name, number)
        if stage.lower() == "latest":
            return cls(RefKind.LATEST, f"models:/{name}/latest", name, "latest")
        known = _STAGE_BY_LOWER.get(stage.lower())
        if known is None:
            raise InvalidModelUriError(
                f"{stage[:_SHOWN]!r} is no stage; allowed are {', '.join(STAGES)}, "
                "a version number, or latest"
            )
        return cls(RefKind.STAGE, f"models:/{name}/{known}", name, known)

    @property
    def label(self) -> str:
        """The pointer as people write it: `Production`, `@champion`, `3`, `latest`, `run`."""
        match self.kind:
            case RefKind.ALIAS:
                return f"@{self.target}"
            case RefKind.RUN:
                return "run"
            case _:
                return self.target

    @property
    def immutable(self) -> bool:
        """Whether the pointer can never mean other artifacts than it does now."""
        return self.kind in IMMUTABLE_KINDS


class ModelVersion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a ModelRef resolved to.

    The number alone names nothing: another registry has a version 1 too, and so has a registry
    that was made again. All fields together are the identity, and the store's key.

    `registry` is the registry's URI without credentials, `source` the artifacts' URI as registered,
    `created_ms` Unix milliseconds (0 where the registry does not say). `workspace` is the one of
    MLFLOW_WORKSPACE, '' where none was set: then it is left out of what is written, so that the key
    is the one that a version had before there were workspaces.
    """

    registry: str
    name: str
    version: str
    run_id: str
    source: str
    created_ms: int
    workspace: str = ""

    @property
    def model(self) -> tuple[str, str, str]:
        """The registered model that this is a version of, wherever there are others of its name."""
        return self.registry, self.workspace, self.name

    @property
    def key(self) -> str:
        """The folder name of this version in a store: readable, and unique by a digest."""
        digest = hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]
        readable = re.sub(r"[^\w.-]+", "_", f"{self.name[:48]}-{self.version[:40]}")
        readable = readable.encode()[:_READABLE_BYTES].decode(errors="ignore")
        return f"{readable}-{digest}"


class StoredVersion(msgspec.Struct, frozen=True):
    """A ModelVersion on disk: `path` holds its MLmodel file, `digest` its manifest's sha256."""

    version: ModelVersion
    path: Path
    digest: str
