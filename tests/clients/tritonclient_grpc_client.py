"""What Triton's client does over gRPC, run by an interpreter that has `tritonclient`; prints JSON.

`python tritonclient_grpc_client.py HOST:PORT MODEL VERSION COLUMNS`, where COLUMNS are a JSON
object: for each name its datatype and its values.
"""

import contextlib
import json
import queue
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

address, model, version, columns = sys.argv[1:]
client = triton.InferenceServerClient(address)


def inputs() -> list[Any]:
    """Return the columns as tensors."""
    made: list[Any] = []
    for name, (datatype, values) in json.loads(columns).items():
        array = np.array(values, triton_to_np_dtype(datatype))
        made.append(triton.InferInput(name, list(array.shape), datatype))
        made[-1].set_data_from_numpy(array)
    return made


def values(result: Any, names: list[str]) -> dict[str, Any]:
    """Return an answer's outputs as lists."""
    return {name: result.as_numpy(name).reshape(-1).tolist() for name in names}


def refused(call: Any, *arguments: Any) -> Any:
    """Return the status and what the client is told."""
    try:
        call(*arguments)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return None


def streamed() -> Any:
    """Return the status of a stream of requests, which the client opens a call of its own for."""
    told: queue.Queue[Any] = queue.Queue()
    client.start_stream(callback=lambda result, error: told.put(error or result))
    with contextlib.suppress(InferenceServerException):  # where the answer was there before
        client.async_stream_infer(model, inputs())
    status = told.get(timeout=30).status()
    client.stop_stream()
    return status


metadata = client.get_model_metadata(model)
outputs = [one.name for one in metadata.outputs]
wishes = [triton.InferRequestedOutput(name) for name in reversed(outputs)]
answers = {
    "raw": client.infer(model, inputs()),
    "outputs": client.infer(model, inputs(), outputs=wishes, request_id="7"),
    "versioned": client.infer(model, inputs(), model_version=version),
    "timeout": client.infer(model, inputs(), timeout=5_000_000, priority=1, client_timeout=30),
    **{
        coding: client.infer(model, inputs(), compression_algorithm=coding)
        for coding in ("gzip", "deflate")
    },
}
print(  # noqa: T201 - what it is run for
    json.dumps(
        {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready(model, version),
            "other_ready": refused(client.is_model_ready, model, "99"),
            "server": client.get_server_metadata().name,
            "versions": list(metadata.versions),
            "config": client.get_model_config(model).config.name,
            "statistics": client.get_inference_statistics(model).model_stats[0].version,
            "index": [one.name for one in client.get_model_repository_index().models],
            "id": answers["outputs"].get_response().id,
            "served": answers["raw"].get_response().model_version,
            "order": [one.name for one in answers["outputs"].get_response().outputs],
            "answers": {kind: values(answer, outputs) for kind, answer in answers.items()},
            "load": refused(client.load_model, model),
            "unload": refused(client.unload_model, model),
            "nobody": refused(client.infer, "nobody", inputs()),
            "wrong": refused(client.infer, model, inputs()[:1]),
            "memory": refused(client.get_system_shared_memory_status),
            "stream": streamed(),
        }
    )
)
