"""The protocols that predictions are asked by."""

from enum import IntEnum


class WireProtocol(IntEnum):
    """A protocol, by where it stands in lists that count for each of them."""

    NATIVE = 0
    """Rows and columns, in JSON or Arrow, at `/predict`."""
    MLFLOW = 1
    """MLflow's scoring protocol."""
    OIP = 2
    """The Open Inference Protocol over REST."""
    GRPC = 3
    """The same over gRPC."""

    @property
    def label(self) -> str:
        """Return what metrics call it."""
        return self.name.lower()
