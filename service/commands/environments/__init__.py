"""`hotswap lock` and `hotswap env`: environments of versions, beside the service."""
