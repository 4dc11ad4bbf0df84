"""Open an ONNX graph in onnxruntime with the threads that a worker may use."""

from pathlib import Path
from typing import Any

from service.predictors.engines.libraries import require


def open_session(file: Path, threads: int) -> Any:
    """Return a session of the graph in a file."""
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between two calls would take what other workers need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # An arena keeps the memory of the largest batch for ever.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4  # what fails is raised: no need to print it, too
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
