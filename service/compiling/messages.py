"""What the server process and a compiler say to each other."""

import msgspec

from service.predictors.report import Report
from service.workers.messages import LoadRequest


class CompileRequest(msgspec.Struct, frozen=True):
    """Compile the version that `load` names, within `rtol`, into a folder that does not exist.

    `first` is for the engines that are ready immediately.
    """

    load: LoadRequest
    folder: str
    rtol: float
    first: bool = False


class CompileReply(msgspec.Struct, frozen=True):
    """The report of a compilation."""

    report: Report
