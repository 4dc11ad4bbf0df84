"""A model that misbehaves on request: `do` says how, for a row or (in its config) at load.

`y = a * factor` where it behaves. Logged from this file as code. In a row, `do` may be `raise`,
`exit`, `hang`, `spin` (hang and never let go of the GIL), `nan`, `clock` (answer what time it is),
`sleep:SECONDS`, `processes:FILE` (start two that stay, and tell their ids there), `quote:TEXT`
(raise with it), `print:TEXT` (and 60 kB more), `lines:TEXT` (raise with 50,000 lines), or `flood`
(print 200,000 lines); for all rows of a call, `short` leaves one answer out and `wide` gives two
numbers in place of one. The config's `on_load` may be what needs no row; its `on_predict` holds for
each call, whatever the rows say, and its `on_many` for a call of more rows than an example has;
over its `limit`, any `a` makes it raise.
"""

import multiprocessing
import os
import re
import time
import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.pyfunc.model import PythonModel

MANY_ROWS = 16


class Unruly(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Answer `y = a * factor`, except where it was told to misbehave."""

    def load_context(self, context: Any) -> None:
        """Load, or don't."""
        _misbehave(context.model_config.get("on_load", ""))

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Do what the rows say, then answer."""
        del params
        answers = (model_input["a"] * context.model_config["factor"]).to_frame("y")
        if (model_input["a"] > context.model_config.get("limit", float("inf"))).any():
            raise ValueError("over its limit")
        for_all = context.model_config.get("on_predict", "")
        if len(model_input) > MANY_ROWS:
            _misbehave(context.model_config.get("on_many", ""))
        for row, said in enumerate(model_input["do"]):
            behaviour = for_all or said
            if behaviour == "nan":
                answers.loc[row, "y"] = float("nan")
            if behaviour == "clock":
                answers.loc[row, "y"] = time.time()
            _misbehave(behaviour)
        wishes = {for_all, *model_input["do"]}
        if "short" in wishes:
            return answers.iloc[:-1]
        if "wide" in wishes:
            return answers["y"].map(lambda y: [y, y]).to_frame()
        return answers


def _misbehave(behaviour: str) -> None:
    if behaviour == "raise":
        raise ValueError("told to raise")
    if behaviour == "exit":
        print("told to exit", flush=True)  # noqa: T201 - last words, for the verdict
        os._exit(3)
    if behaviour == "hang":
        time.sleep(3600)
    if behaviour == "spin":
        # One call into C that holds the GIL for ever: this pattern backtracks exponentially.
        re.match(r"(a+)+$", "a" * 60 + "b")
    if behaviour.startswith("processes:"):
        _start_processes(Path(behaviour.partition(":")[2]))
    if behaviour.startswith("sleep:"):
        time.sleep(float(behaviour.partition(":")[2]))
    _say(behaviour)


def _say(behaviour: str) -> None:
    """Write at length."""
    if behaviour.startswith("quote:"):
        raise ValueError(f"unknown {behaviour}")
    if behaviour.startswith("print:"):
        print(behaviour + "0f" * 30_000, flush=True)  # noqa: T201 - what is printed is what is tested
    if behaviour.startswith("lines:"):
        raise ValueError("\n".join(f"line {number} {behaviour}" for number in range(50_000)))
    if behaviour == "flood":
        print("a line\n" * 200_000, flush=True)  # noqa: T201 - the same


def _start_processes(told: Path) -> None:
    """Start one that inherits all, and one that nobody knows the parent of; tell their pids."""
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
    forked.start()
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid == 0:
            time.sleep(3600)
        told.with_suffix(".part").write_text(f"{forked.pid} {pid}")
        told.with_suffix(".part").rename(told)
        os._exit(0)
    os.wait()


mlflow.models.set_model(Unruly())
