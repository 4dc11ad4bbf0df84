"""Clients of Triton's library, one after another each: `triton_caller.py KIND ADDRESS MODEL ...`.

KIND is `http` or `grpc`; then come the columns as JSON, the number of clients and the seconds. It
prints the milliseconds of each call as JSON. Each client has a connection and a thread of its own.
"""

import importlib
import json
import sys
import threading
import time
from typing import Any

import numpy as np
from tritonclient.utils import triton_to_np_dtype

kind, address, model, columns, clients, seconds = sys.argv[1:]
triton: Any = importlib.import_module(f"tritonclient.{kind}")
until = 0.0
took: list[list[float]] = [[] for _ in range(int(clients))]
ready = threading.Barrier(int(clients) + 1)


def inputs() -> list[Any]:
    """Return the columns as tensors."""
    made: list[Any] = []
    for name, (datatype, values) in json.loads(columns).items():
        array = np.array(values, triton_to_np_dtype(datatype))
        made.append(triton.InferInput(name, list(array.shape), datatype))
        made[-1].set_data_from_numpy(array)
    return made


def ask(mine: list[float]) -> None:
    """Ask until the time is over."""
    client = triton.InferenceServerClient(address)
    client.infer(model, inputs())
    ready.wait()
    ready.wait()
    while (began := time.perf_counter()) < until:
        client.infer(model, inputs())
        mine.append((time.perf_counter() - began) * 1000)
    client.close()


threads = [threading.Thread(target=ask, args=(mine,)) for mine in took]
for thread in threads:
    thread.start()
ready.wait()
# What measures reads the server's CPU now, and says so.
print("ready", flush=True)
sys.stdin.readline()
until = time.perf_counter() + float(seconds)
ready.wait()
for thread in threads:
    thread.join()
print(json.dumps([one for mine in took for one in mine]))
