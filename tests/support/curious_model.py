"""A model that looks wherever a process may look for secrets, and answers how many it found.

Its config's `secrets` are what it looks for, written backwards; `report` is the file that it adds
a JSON line to at each look: what it found, what it could read, and the names it was given.
"""

import contextlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.pyfunc.model import PythonModel


class Curious(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Answer `y`: how many secrets are in sight."""

    def load_context(self, context: Any) -> None:
        """Look already while it loads."""
        self.config = dict(context.model_config)
        self._look("load")

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Look again."""
        del context, params
        return (model_input["a"] * 0 + self._look("predict")).to_frame("y")

    def _look(self, when: str) -> int:
        """Look at this process, its ancestors and all others; add what was found to the report."""
        secrets = [text[::-1] for text in self.config["secrets"]]
        found = [
            f"{when} os.environ {secret} {name}"
            for name, value in os.environ.items()
            for secret in secrets
            if secret in value
        ]
        looked, readable = 0, []
        for process in Path("/proc").glob("[0-9]*"):
            for place in ("environ", "cmdline"):
                with contextlib.suppress(OSError):
                    text = (process / place).read_bytes().decode("latin-1")
                    looked += 1
                    found += [f"{when} {process / place} {s}" for s in secrets if s in text]
            with contextlib.suppress(OSError), (process / "mem").open("rb"):
                readable.append(int(process.name))
        with Path(self.config["report"]).open("a", encoding="utf-8") as report:
            line = {"when": when, "looked": looked, "readable": readable, "found": found}
            report.write(json.dumps({**line, "names": sorted(os.environ)}) + "\n")
        return len(found)


mlflow.models.set_model(Curious())
