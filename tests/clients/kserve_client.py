"""What a client of KServe's does, run by an interpreter that has `kserve`; prints JSON.

`python kserve_client.py URL MODEL COLUMNS`, where COLUMNS are a JSON object: for each name its
datatype and its values.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.utils.numpy_codec import to_np_dtype

url, model, columns = sys.argv[1:]


def request(*, binary: bool) -> Any:
    """Return the columns as tensors."""
    made: list[Any] = []
    for name, (datatype, values) in json.loads(columns).items():
        array = np.array(values, to_np_dtype(datatype))
        made.append(InferInput(name, list(array.shape), datatype))
        made[-1].set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=made, request_id="7")


async def main() -> dict[str, Any]:
    """Ask for all that the client can ask for."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    answers = {
        kind: await client.infer(url, request(binary=kind == "binary"), model_name=model)
        for kind in ("json", "binary")
    }
    try:
        await client.infer(url, request(binary=False), model_name="nobody")
        refused = None
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is looked at
        refused = str(error)
    return {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model_ready": await client.is_model_ready(url, model),
        "answers": {
            kind: {one.name: one.as_numpy().reshape(-1).tolist() for one in answer.outputs}
            for kind, answer in answers.items()
        },
        "ids": [answer.id for answer in answers.values()],
        "refused": refused,
    }


print(json.dumps(asyncio.run(main())))  # noqa: T201 - what it is run for
