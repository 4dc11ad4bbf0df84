"""Whether what is signed is exactly what is stored."""

from collections.abc import Callable, Mapping

from service.core.artifact_names import CLIENTS_NOTE, SIGNATURE
from service.core.text import NAME_CHARACTERS, presentable


def difference(
    stored: Mapping[str, str],
    signed: Mapping[str, str],
    *,
    is_signature: Callable[[], bool],
    is_clients_note: Callable[[], bool],
) -> str:
    """Name the first file that differs between two sets of digests by path; '' where none does.

    Two files at the root may be stored and not signed: the signature itself, and what MLflow's
    client notes in a download, each with no other content than that. The signer, who signs a
    download, may have seen other ones, or none.
    """
    allowed = {SIGNATURE: is_signature, CLIENTS_NOTE: is_clients_note}
    for path in sorted(stored.keys() | signed.keys()):
        if stored.get(path) == signed.get(path):
            continue
        shown = presentable(path, NAME_CHARACTERS)
        if path in allowed:
            if path not in stored or allowed[path]():
                continue
            return f"{shown} is not signed, and is not what the name says"
        if path not in stored:
            return f"{shown} is signed, and is not there"
        if path not in signed:
            return f"{shown} is not signed"
        return f"{shown} is not as it was signed"
    return ""
