"""What the child does that reads environments' files, and files that come from artifacts."""

from service.environments.inside.reading import read
from service.environments.inside.tree import check, record
from service.environments.messages import (
    CHECK,
    READ,
    RECORD,
    CheckRequest,
    ReadRequest,
    RecordRequest,
)
from service.processes.inside.bootstrap import Operations


def operations(_: bytes) -> Operations:
    """Return what this process can be asked."""
    return {
        READ: (ReadRequest, read),
        RECORD: (RecordRequest, record),
        CHECK: (CheckRequest, check),
    }
