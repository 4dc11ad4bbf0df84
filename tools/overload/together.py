"""Models of one service that are overloaded together, each by another protocol."""

import json
from collections.abc import Sequence

from tools.overload.cases import ALONE, MERGED, ROWS
from tools.overload.measure import Load
from tools.overload.protocols import PROTOCOLS

FACTOR = 3.0
CASES = tuple(
    case.by(protocol)
    for case, protocol in zip((MERGED, ROWS, ALONE, ROWS, ALONE), PROTOCOLS, strict=True)
)
LOADS = tuple(Load(case, f"m{number}", FACTOR) for number, case in enumerate(CASES))


def models_file(uris: Sequence[str]) -> str:
    """Return the text of the MODELS_FILE for these loads, with the URI of each model in order."""
    tables = []
    for load, uri in zip(LOADS, uris, strict=True):
        case = load.case
        settings = {"uri": uri, "request_timeout_s": case.limit_s, **case.settings}
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        tables.append("\n".join([f"[models.{load.model}]", *lines]))
    return "\n\n".join(tables) + "\n"
