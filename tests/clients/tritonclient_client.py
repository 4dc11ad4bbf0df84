"""What a client of Triton's does, run by an interpreter that has `tritonclient`; prints JSON.

`python tritonclient_client.py HOST:PORT MODEL VERSION COLUMNS`, where COLUMNS are a JSON object:
for each name its datatype and its values.
"""

import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

address, model, version, columns = sys.argv[1:]
client = triton.InferenceServerClient(address)


def inputs(*, binary: bool) -> list[Any]:
    """Return the columns as tensors."""
    made: list[Any] = []
    for name, (datatype, values) in json.loads(columns).items():
        array = np.array(values, triton_to_np_dtype(datatype))
        made.append(triton.InferInput(name, list(array.shape), datatype))
        made[-1].set_data_from_numpy(array, binary_data=binary)
    return made


def values(result: Any, names: list[str]) -> dict[str, Any]:
    """Return an answer's outputs as lists."""
    return {name: result.as_numpy(name).reshape(-1).tolist() for name in names}


def refused(call: Any, *arguments: Any) -> Any:
    """Return what the client is told."""
    try:
        call(*arguments)
    except InferenceServerException as error:
        return error.message()
    return None


metadata = client.get_model_metadata(model)
outputs = [one["name"] for one in metadata["outputs"]]
wishes = [triton.InferRequestedOutput(outputs[0], binary_data=False)]
wishes += [triton.InferRequestedOutput(name) for name in outputs[1:]]
answers = {
    "binary": client.infer(model, inputs(binary=True)),
    "json": client.infer(model, inputs(binary=False)),
    "outputs": client.infer(model, inputs(binary=True), outputs=wishes, request_id="7"),
    "versioned": client.infer(model, inputs(binary=True), model_version=version),
    "timeout": client.infer(model, inputs(binary=True), timeout=5_000_000, priority=1),
    **{
        coding: client.infer(
            model,
            inputs(binary=True),
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
        )
        for coding in ("gzip", "deflate")
    },
}
print(  # noqa: T201 - what it is run for
    json.dumps(
        {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready(model, version),
            "other_ready": client.is_model_ready(model, "99"),
            "server": client.get_server_metadata()["name"],
            "versions": metadata["versions"],
            "config": client.get_model_config(model)["name"],
            "statistics": client.get_inference_statistics(model)["model_stats"][0]["version"],
            "index": client.get_model_repository_index(),
            "id": answers["outputs"].get_response()["id"],
            "answers": {kind: values(answer, outputs) for kind, answer in answers.items()},
            "load": refused(client.load_model, model),
            "unload": refused(client.unload_model, model),
            "nobody": refused(client.infer, "nobody", inputs(binary=True)),
            "wrong": refused(client.infer, model, inputs(binary=True)[:1]),
        }
    )
)
