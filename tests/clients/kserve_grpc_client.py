"""What KServe's client does over gRPC, run by an interpreter that has `kserve`; prints JSON.

`python kserve_grpc_client.py HOST:PORT MODEL COLUMNS`, where COLUMNS are a JSON object: for each
name its datatype and its values.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from kserve.utils.numpy_codec import to_np_dtype

address, model, columns = sys.argv[1:]


def request(name: str, *, binary: bool) -> Any:
    """Return the columns as tensors."""
    made: list[Any] = []
    for column, (datatype, values) in json.loads(columns).items():
        array = np.array(values, to_np_dtype(datatype))
        made.append(InferInput(column, list(array.shape), datatype))
        made[-1].set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model_name=name, infer_inputs=made, request_id="7")


async def main() -> dict[str, Any]:
    """Ask for all that the client can ask for."""
    client = InferenceGRPCClient(address)
    answers = {
        kind: await client.infer(request(model, binary=kind == "raw")) for kind in ("typed", "raw")
    }
    try:
        await client.infer(request("nobody", binary=False))
        refused = None
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is looked at
        refused = str(error)
    return {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model_ready": await client.is_model_ready(model),
        "answers": {
            kind: {one.name: one.as_numpy().reshape(-1).tolist() for one in answer.outputs}
            for kind, answer in answers.items()
        },
        "ids": [answer.id for answer in answers.values()],
        "versions": [answer.model_version for answer in answers.values()],
        "refused": refused,
    }


print(json.dumps(asyncio.run(main())))  # noqa: T201 - what it is run for
