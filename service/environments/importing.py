"""Try the imports of a new environment, in its own Python and without the builder's variables."""

import uuid
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from service.core.errors import EnvironmentNotBuiltError, EnvironmentRefusedError
from service.core.text import LISTED_CHARACTERS, presentable, quoting
from service.environments.kept import interpreter_of
from service.environments.locking import Lock, pins
from service.environments.messages import Needs
from service.environments.outcomes import is_of_the_machine
from service.environments.uv import Uv

IMPORT_S = 180.0
"""Imports that take longer together hang, and the version is refused."""
_PROGRAM = Path(__file__).with_name("inside") / "imports.py"
_MOST_TRIED = 200
"""At most this many of the packages that a version names are imported."""
_MOST_NOTED = 10


class _Lines:
    """What the program says of itself, among what packages print."""

    def __init__(self, word: str) -> None:
        self.at = ""
        """The module that is being imported."""
        self.failed: list[str] = []
        self._word = word
        self.has_begun = False

    def read(self, line: str) -> None:
        """Take a line. Called in the thread that reads them."""
        word, _, told = line.partition(" ")
        if word != self._word:
            return
        self.has_begun = True
        kind, _, text = told.partition(" ")
        self.at = presentable(text, LISTED_CHARACTERS) if kind == "begins" else ""
        if kind == "failed":
            self.failed.append(presentable(text, LISTED_CHARACTERS))


async def try_imports(
    uv: Uv, venv: Path, needs: Needs, lock: Lock, limit_s: float
) -> tuple[str, ...]:
    """Import what workers need, and then what the version names.

    Return what could not be imported of the latter: a model may do without. Raise
    EnvironmentRefusedError for the former, and for whatever hangs or ends its process, and
    EnvironmentNotBuiltError where the machine had no room for it.
    """
    word = f"import-{uuid.uuid4().hex}"
    lines = _Lines(word)
    needed = _needed(needs, lock)
    ended = await uv.run_other(
        [*(interpreter_of(venv), "-I", "-B", _PROGRAM, word), *needed, "--", *_named(needs, lock)],
        limit_s=limit_s,
        on_line=lines.read,
    )
    if ended.cut:
        raise EnvironmentRefusedError(f"the import of {lines.at} was ended, since {ended.cut}")
    if ended.status:
        sentence = (
            f"the import of {lines.at} has ended its process (status {ended.status})"
            if lines.at
            else f"it can't be imported: {'; '.join(lines.failed[: len(needed)])}"
        )
        told = quoting(sentence, [line for line in ended.lines if not line.startswith(word)])
        if is_of_the_machine(ended) or not lines.has_begun:
            raise EnvironmentNotBuiltError(told)
        raise EnvironmentRefusedError(told)
    return tuple(f"it can't be imported: {one}" for one in lines.failed[:_MOST_NOTED])


def _needed(needs: Needs, lock: Lock) -> list[str]:
    """Return the modules without which no worker loads the model."""
    there = {name for name, _ in pins(lock.whole)}
    if not there & {"mlflow", "mlflow-skinny"}:
        return ["msgspec"]
    loader = [needs.loader] * needs.loader.startswith("mlflow.")
    return ["msgspec", "mlflow.pyfunc", *loader]


def _named(needs: Needs, lock: Lock) -> list[str]:
    """Return the packages that the version names."""
    if needs.is_lock:
        return [name for name, _ in pins(lock.text)][:_MOST_TRIED]
    names = []
    for line in needs.requirements:
        try:
            names.append(Requirement(line.partition(" --hash")[0]).name)
        except InvalidRequirement:
            continue
    return names[:_MOST_TRIED]
