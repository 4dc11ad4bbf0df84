"""All kinds, by name."""

from tests.support.kinds import answers, columns, fitted, typed
from tests.support.kinds.kind import Kind

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kinds in (answers.KINDS, columns.KINDS, fitted.KINDS, typed.KINDS)
    for kind in kinds
}
