"""Targets in this process: code of ours that reads what others wrote, and may only say so."""

import os
import string
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import anyio
import msgspec
import yaml

from service.control.pointer_state import PointerState
from service.control.sqlite_journal import SqliteJournal
from service.core.errors import ServiceError, StoreCorruptError
from service.core.text import printable
from service.core.verdicts import Outcome, Verdict
from service.processes.frames import FrameReader, framed
from service.processes.protocol import Fault, Reply, to_error
from service.registry.webhook import Deliveries, is_of_another_model
from service.settings.environment import load_settings, read_dotenv
from service.settings.errors import SettingsError
from service.settings.settings import FIELDS
from service.store import manifest
from service.store.mlmodel import safe_load
from service.store.pointer_file import Refusal
from service.workers.errors import WORKER_ERRORS
from tests.fuzz.limited import limited
from tests.fuzz.nonsense import TEXTS, json_text, mutated, pieces, value
from tests.support.fake_source import a_version

_SECRET = "a-secret-of-the-fuzz-run"  # noqa: S105 - of this run alone
_FIELDS = [field.name.upper() for field in FIELDS]
_USUAL_SETTINGS = (
    *("1", ".5", "1e3", "true", "off", "latest", "a,-B*"),
    *("models:/m@a", "runs:/1/m", "http://127.0.0.1:5000"),
)
_MLMODEL = """
artifact_path: model
flavors:
  python_function:
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    loader_module: mlflow.sklearn
    model_path: model.pkl
    python_version: 3.11.7
mlflow_version: 3.8.0
model_size_bytes: 1234
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}]'
  outputs: '[{"type": "double", "name": "y", "required": true}]'
  params: null
"""


class _Parser:
    name = ""

    def settle(self) -> None:
        """Nothing shows later."""


class Frames(_Parser):
    """What a worker writes into its pipe."""

    name = "frames"

    def run(self, rng: Random) -> str:
        """Read mutated frames in pieces, as they arrive."""
        sent = b"".join(b"".join(framed([_reply(rng)])) for _ in range(rng.randint(1, 3)))
        data = mutated(rng, sent) if rng.random() < 0.9 else rng.randbytes(rng.randint(0, 64))
        reader, replies = FrameReader(), 0
        with limited():
            try:
                for piece in pieces(rng, data):
                    for frame in reader.feed(piece):
                        reply = msgspec.msgpack.decode(frame, type=Reply)
                        replies += 1
                        if not reply.ok:
                            fault = msgspec.msgpack.decode(reply.body, type=Fault)
                            assert isinstance(to_error(fault, WORKER_ERRORS), ServiceError)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                return type(error).__name__
            except ValueError as error:
                # What the reader itself says of a size that is none.
                return f"refused: {type(error).__name__}"
        return f"{replies} replies"


class MlModels(_Parser):
    """The file in which MLflow describes a model."""

    name = "mlmodel"

    def run(self, rng: Random) -> str:
        """Read a mutated document, or one with aliases within aliases."""
        text = mutated(rng, _MLMODEL.encode()).decode("utf-8", "replace")
        if rng.random() < 0.2:
            depth = rng.randint(2, 14)
            lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth)]
            text = "\n".join(["a0: &a0 [x]", *lines, text])
        with limited():
            try:
                document = safe_load(text)
            except yaml.YAMLError as error:
                return type(error).__name__
            # What looks at all of it has an end: the limit is on this, too.
            str(document)
        return "read"


class Webhooks(_Parser):
    """Deliveries that MLflow may have signed."""

    name = "webhooks"

    def run(self, rng: Random) -> str:
        """Give a delivery with mutated headers, or a mutated body that is signed."""
        deliveries = Deliveries(_SECRET)
        event = {"entity": "model_version_alias", "data": {"name": "m", "alias": "a"}}
        body = mutated(rng, json_text(rng.choice([event, value(rng)])))
        delivery_id, now = f"id-{rng.random()}", str(int(time.time()))
        signature = deliveries.signature(delivery_id, now, body).decode()
        headers = [delivery_id, now, signature]
        if rng.random() < 0.6:
            at = rng.randrange(3)
            headers[at] = mutated(rng, headers[at].encode()).decode("latin-1")
        with limited():
            try:
                deliveries.accept(headers[0], headers[1], headers[2], body)
            except ServiceError as error:
                return error.code
            is_of_another_model(body, "m")
        return "accepted"


class SettingTexts(_Parser):
    """Variables, and the file that they may stand in."""

    name = "settings"

    def run(self, rng: Random) -> str:
        """Read a few variables with nonsense in them; every third case from a file."""
        environ = {rng.choice(_FIELDS): _setting(rng) for _ in range(rng.randint(1, 4))}
        if rng.random() < 0.3:
            before = dict(os.environ)
            try:
                self._from_file(mutated(rng, _dotenv(environ)))
                environ = {key: os.environ.get(key, "") for key in _FIELDS}
            except SettingsError as error:
                return self._told(error)
            finally:
                os.environ.clear()
                os.environ.update(before)
        with limited():
            try:
                settings = load_settings(environ)
            except SettingsError as error:
                return self._told(error)
            assert len(repr(settings)) < 20_000
            for deployment in settings.deployments.values():
                assert printable(deployment.ref.uri) == deployment.ref.uri
        return "read"

    @staticmethod
    def _from_file(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder, limited():
            file = Path(folder) / ".env"
            file.write_bytes(content)
            read_dotenv(file)

    @staticmethod
    def _told(error: SettingsError) -> str:
        line = str(error)
        assert printable(line).replace("\t", "") == line, ascii(line[:300])
        assert len(line) < 1000, line[:300]
        return "refused"


class StateFiles(_Parser):
    """What a start finds in CACHE_DIR: memory of a pointer, a manifest, the journal."""

    name = "state-files"

    def run(self, rng: Random) -> str:
        """Read a mutated file of one of the kinds."""
        with tempfile.TemporaryDirectory() as folder:
            kind: Callable[[Random, Path], Awaitable[str]] = rng.choice(
                [self._memory, self._manifest, self._journal]
            )
            return anyio.run(kind, rng, Path(folder))

    async def _memory(self, rng: Random, root: Path) -> str:
        version = a_version(3)
        refused = Refusal(
            version, "it failed", (Verdict("load", Outcome.REFUSE, "it failed", 0.1),)
        )
        before = PointerState(root, "models:/m@a at http://registry")
        await before.remember_pin(version)
        await before.remember_refusals([refused], [])
        _damage(rng, _only_file(root))
        remembered = PointerState(root, "models:/m@a at http://registry")
        with limited():
            memory = await remembered.recall()
            # A pin is in force, or it is said that nobody knows: it is never lost in silence.
            assert remembered.held if memory is None else memory.pin == version
            await remembered.remember_refusals([refused], [])
            await remembered.remember_pin(version)
        assert (remembered.held, remembered.trouble) == ("", "")
        return "memory unknown" if memory is None else "memory read"

    async def _manifest(self, rng: Random, root: Path) -> str:
        model = root / "model"
        model.mkdir()
        (model / "weights").write_bytes(rng.randbytes(100))
        content = manifest.build(model)
        manifest.write(root / manifest.MANIFEST_NAME, content)
        _damage(rng, rng.choice([root / manifest.MANIFEST_NAME, model / "weights"]))
        with limited():
            try:
                manifest.verify_stored(model, content.digest)
            except (StoreCorruptError, OSError) as error:
                return f"manifest: {type(error).__name__}"
        return "manifest verified"

    async def _journal(self, rng: Random, root: Path) -> str:
        file = root / "journal.db"
        await _use_journal(file)
        _damage(rng, file)
        with limited(10):
            await _use_journal(file)
        return "journal read"


async def _use_journal(file: Path) -> None:
    journal = SqliteJournal(file, "models:/m@a")
    async with journal.open():
        await journal.recalled.wait()
        journal.last(50)


def _only_file(root: Path) -> Path:
    (file,) = (path for path in root.rglob("*.json") if path.is_file())
    return file


def _damage(rng: Random, file: Path) -> None:
    match rng.randrange(6):
        case 0:
            file.unlink()
            file.mkdir()
        case 1:
            file.write_bytes(b"")
        case 2:
            file.write_bytes(json_text(value(rng)))
        case _:
            file.write_bytes(mutated(rng, file.read_bytes()))


def _reply(rng: Random) -> bytes:
    fault = Fault("model-failed", rng.choice(TEXTS[:3]), "Traceback")
    body: Any = rng.choice([fault, {"a": rng.random()}, None])
    encoded = msgspec.Raw(msgspec.msgpack.encode(body))
    return msgspec.msgpack.encode(Reply(rng.randrange(2**31), body is not fault, encoded))


def _setting(rng: Random) -> str:
    usual = [
        "1",
        ".5",
        "1e3",
        "true",
        "off",
        "models:/m@a",
        "http://127.0.0.1:5000",
        "latest",
        "a,-B*",
    ]
    text = rng.choice(
        [*usual, *TEXTS, "".join(rng.choices(string.printable, k=rng.randint(0, 40)))]
    )
    if rng.random() < 0.6:
        return text
    return mutated(rng, text.encode("utf-8", "replace")).decode("utf-8", "surrogateescape")


def _dotenv(environ: dict[str, str]) -> bytes:
    lines = (f'{name}="{text}"\n' for name, text in environ.items())
    return "".join(lines).encode("utf-8", "surrogatepass")
