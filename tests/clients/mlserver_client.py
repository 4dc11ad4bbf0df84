"""What MLServer's codecs write and read, run by an interpreter that has `mlserver`; prints JSON.

`python mlserver_client.py URL MODEL COLUMNS`, where COLUMNS are a JSON object: for each name its
datatype and its values.
"""

import json
import sys
import urllib.request

import pandas as pd
from mlserver.codecs import PandasCodec
from mlserver.types import InferenceResponse

url, model, columns = sys.argv[1:]
frame = pd.DataFrame({name: values for name, (_, values) in json.loads(columns).items()})
request = PandasCodec.encode_request(frame)
asked = urllib.request.Request(  # noqa: S310 - an address of this machine
    f"{url}/v2/models/{model}/infer",
    request.model_dump_json().encode(),
    {"content-type": "application/json"},
)
with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked) as answer:
    response = InferenceResponse.model_validate_json(answer.read())
found = PandasCodec.decode_response(response)
print(  # noqa: T201 - what it is run for
    json.dumps(
        {
            "content_type": response.parameters.content_type,
            "shapes": [list(one.shape) for one in response.outputs],
            "answers": {str(name): found[name].tolist() for name in found},
        }
    )
)
