"""What the fork server imports once, so that each worker is ready immediately and shares its pages.

Imported in the fork server only (never in the server process), before it forks for the first time.
"""

import contextlib
import gc
import importlib
import os
import sys

from service.processes.inside.bootstrap import ignore_group_signals
from service.processes.inside.model_processes import take_in_orphans
from service.processes.own_memory import hide_memory

ignore_group_signals()
take_in_orphans()
# Registry processes are forked from here, and hidden before their credentials reach them.
hide_memory()
sys.dont_write_bytecode = True
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# OpenBLAS' threads look out for work for 2^26 cycles before they sleep, and each process that is
# forked makes new ones: beside a load they would use up the CPUs for a twentieth of a second each.
# Read when the library is loaded (`openblas_env.c`); 2^18 cycles are a tenth of a millisecond.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")

# A look for garbage among what is only being made finds none, and takes a tenth of the time.
gc.disable()
for name in (
    "service.workers.inside.worker",
    "service.compiling.inside.compiler",
    "mlflow.pyfunc",
    "mlflow.pyfunc.scoring_server",
    "mlflow.sklearn",
    "pandas",
    "sklearn.pipeline",
    "sklearn.ensemble",
    "sklearn.compose",
    "sklearn.feature_extraction.text",
    # Last, and only where the extra is installed: what compiled predictors run on.
    "llvmlite.binding",
    "treelite",
    "onnxruntime",
):
    # What can't be imported here fails again, with its sentence, in the worker that needs it.
    with contextlib.suppress(Exception):
        importlib.import_module(name)
with contextlib.suppress(Exception):
    # What a worker of its own would import only once it is needed.
    importlib.import_module("service.processes.inside.late_imports").import_now(
        importlib.import_module("service.workers.inside.late_modules").late_modules()
    )
with contextlib.suppress(Exception):
    # What scikit-learn imports only when it is first given a frame takes as long as an answer.
    importlib.import_module("sklearn.utils").check_array(
        importlib.import_module("pandas").DataFrame({"a": [0.0]})
    )
with contextlib.suppress(Exception):
    # After all of them, so that it knows them.
    importlib.import_module("service.workers.inside.libraries").numeric_libraries()
with contextlib.suppress(Exception):
    # A look through all that is installed, which each version's contract is found by.
    importlib.import_module("service.contracts.plugins").import_own()
# What is here stays: no child's collector looks at it, and so its pages stay shared.
gc.freeze()
gc.enable()
