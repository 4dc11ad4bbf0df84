"""The model alone, in a process of its own: `python -m bench.apps.raw_model MODEL`.

A line of JSON asks for calls, `{"kind": ..., "rows": ..., "calls": ...}`, and a line of JSON
answers with the milliseconds of each. Of the kinds, "raw" and "pyfunc" predict on a DataFrame that
is ready, and "load" loads the model once more.
"""

import json
import sys
import time
import warnings

from bench.rows import frame_of


def main(model: str) -> None:
    """Answer until the input ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow  # noqa: PLC0415 - warns when it is imported

        pyfunc = mlflow.pyfunc.load_model(model)
    kinds = {
        "pyfunc": pyfunc.predict,
        "raw": pyfunc.get_raw_model().predict,
        "load": lambda _: mlflow.pyfunc.load_model(model, suppress_warnings=True),
    }
    for line in sys.stdin:
        asked = json.loads(line)
        frame = frame_of(asked["rows"])
        call = kinds[asked["kind"]]
        call(frame)
        took = []
        for _ in range(asked["calls"]):
            began = time.perf_counter()
            call(frame)
            took.append((time.perf_counter() - began) * 1000)
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
