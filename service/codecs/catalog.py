"""Every codec by its name, which travels to a worker with a body that is decoded there.

A new protocol is registered here, and its handlers in `app`; nothing between them changes.
"""

from collections.abc import Callable, Mapping
from types import ModuleType

from service.codecs.codec import AnswerForm, Codec
from service.codecs.inference.codec import InferenceTensors
from service.codecs.inference.message_codec import InferenceMessages
from service.codecs.rows_and_columns.codec import RowsAndColumns
from service.codecs.scoring.codec import PlainScoring
from service.contracts.contract import Contract
from service.core.errors import UnsupportedContentTypeError

ROWS_AND_COLUMNS = "rows-and-columns"
ARROW = "arrow"
INFERENCE = "inference"
INFERENCE_MESSAGES = "inference-messages"

EVERYWHERE: dict[str, Callable[[Contract], Codec]] = {
    ROWS_AND_COLUMNS: RowsAndColumns,
    INFERENCE: InferenceTensors,
    INFERENCE_MESSAGES: InferenceMessages,
}
"""What opens a codec that the server process speaks as well as workers do."""

IN_WORKERS = {ARROW: "service.codecs.arrow.codec:ArrowStreams"}
"""Codecs whose libraries only workers have, by where their class is; a body goes there as it is."""

SCORING_JSON = "mlflow-json"
SCORING = {
    SCORING_JSON: "application/json",
    "mlflow-csv": "text/csv",
    "mlflow-parquet": "application/vnd.apache.parquet",
}
"""Bodies of MLflow's scoring protocol, by what MLflow calls their kinds. MLflow's own code reads,
predicts and writes them, in a worker, but for those of which `scoring.codec` makes a call.
"""


def names() -> tuple[str, ...]:
    """Return the name of each codec."""
    return (*EVERYWHERE, *IN_WORKERS)


def kinds_of_bodies() -> tuple[str, ...]:
    """Return each name that a body may travel to a worker with."""
    return (*names(), *SCORING)


def open_codecs(contract: Contract) -> Mapping[str, Codec]:
    """Return the codecs that decode and encode here, in any process, for one contract.

    Raise SignatureError for a contract whose types can't be read.
    """
    return {name: opened(contract) for name, opened in EVERYWHERE.items()}


def open_scoring(contract: Contract, form: AnswerForm) -> Mapping[str, Codec]:
    """Return the codec of plain bodies in MLflow's protocol, for answers that it writes so."""
    return {SCORING_JSON: PlainScoring(contract, form)}


class WorkerCodecs:
    """All codecs for one contract, for a worker; those of IN_WORKERS are imported when asked for.

    `late_import` imports a module by its name, also after a model has taken that name. One whose
    libraries are missing raises UnsupportedContentTypeError when it is asked for.
    """

    def __init__(self, contract: Contract, late_import: Callable[[str], ModuleType]) -> None:
        self._contract = contract
        self._late_import = late_import
        self._opened = dict(open_codecs(contract))

    def __getitem__(self, name: str) -> Codec:
        codec = self._opened.get(name)
        if codec is None:
            module, _, member = IN_WORKERS[name].partition(":")
            try:
                imported = self._late_import(module)
            except ImportError as error:
                raise UnsupportedContentTypeError(
                    f"bodies of the kind {name!r} can't be read or written in the version's "
                    f"environment: {error}"
                ) from error
            opened: Callable[[Contract], Codec] = getattr(imported, member)
            codec = self._opened[name] = opened(self._contract)
        return codec


def late_modules() -> list[str]:
    """Return the modules that are imported when a codec of IN_WORKERS is first asked for."""
    return [place.partition(":")[0] for place in IN_WORKERS.values()]
