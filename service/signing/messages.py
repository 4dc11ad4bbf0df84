"""Messages between the server process and the process that verifies signatures."""

import msgspec

from service.core.text import Sentence

VERIFIER_TARGET = "service.signing.inside.verifying:operations"
"""The verifying process runs this; it takes no argument."""
VERIFY = "verify"


class VerifyRequest(msgspec.Struct, frozen=True):
    """Ask whether one of these signatures is a trusted key's, over exactly the stored files.

    `path` is the version's folder in the store, and `digest` its manifest's; `name` and `version`
    are what it is registered as. `keys` is a PEM file or a folder of such. Of `signatures`, paths
    in the order in which they are tried, those that don't exist are passed over.
    """

    path: str
    digest: str
    name: str
    version: str
    keys: str
    signatures: tuple[str, ...]


class VerifyReply(msgspec.Struct, frozen=True):
    """The key that signed these files, or why none is known to have.

    `signed_by` is '' where none has; then `refusal` says why, '' where there is no signature.
    `signature` is the path of the one that is good.
    """

    signed_by: Sentence = ""
    signature: str = ""
    files: int = 0
    refusal: Sentence = ""
