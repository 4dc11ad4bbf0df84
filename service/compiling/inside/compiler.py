"""What runs in a compiler process: convert, compare and time one version, at low priority."""

import contextlib
import os
import warnings
from pathlib import Path

from service import windows
from service.compiling.messages import CompileReply, CompileRequest
from service.predictors.choosing.compiling import compile_model, drop_unchosen
from service.processes.inside.bootstrap import Operations
from service.processes.own_memory import show_memory
from service.store import manifest
from service.store.compiled_files import FILES
from service.workers.inside.loading import load_model

_LEAST = 19


def compile_version(request: CompileRequest) -> CompileReply:
    """Load the model as a worker does, and fill the folder; its manifest stands beside it.

    Raise StoreCorruptError for files that are not those that were fetched, OSError where the disk
    does not let it, and whatever the model raises.
    """
    model, contract, _ = load_model(request.load)
    root = Path(request.folder)
    files = root / FILES
    files.mkdir(parents=True)
    load = request.load
    report = compile_model(
        *(model, contract, Path(load.path), files, load.threads, request.rtol),
        first=request.first,
    )
    drop_unchosen(files, report)
    manifest.write(root / manifest.MANIFEST_NAME, manifest.build(files))
    return CompileReply(report)


def operations(_: bytes) -> Operations:
    """Return what a compiler can be asked for, once it stands behind all others in the queue."""
    show_memory()
    _stand_back()
    # Converters and absurd rows warn of much that nobody asked for.
    warnings.simplefilter("ignore")
    return {"compile": (CompileRequest, compile_version)}


def _stand_back() -> None:
    """Take only the CPU time that nobody else wants: serving comes first.

    Not SCHED_IDLE, which a busy machine would starve for hours; the lowest nice value still gets
    a percent or two.
    """
    if windows.take_idle_priority():
        return
    with contextlib.suppress(OSError):
        os.nice(_LEAST)
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
