"""The service that the targets over HTTP are sent to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fuzz.callers import (
    KINDS,
    SECRET,
    TOKEN,
    ArrowBodies,
    Deliveries,
    Heads,
    JsonBodies,
    RawBytes,
    Service,
)
from tests.fuzz.messages import MessageCalls
from tests.fuzz.scoring import ScoringBodies
from tests.fuzz.starts import Starts
from tests.fuzz.tally import Target
from tests.fuzz.tensors import TensorCalls
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.python_models import register_python_model
from tools.running_service import start


@contextmanager
def served(folder: Path, server: MlflowServer) -> Iterator[list[Target]]:
    """Serve the model of all types; give every target that needs a service."""
    name = unique_name("fuzzed")
    register_python_model(
        server, name, Path(__file__).with_name("echo_model.py"), {}, signature=_signature(server)
    )
    settings: dict[str, Any] = {
        "model_uri": f"models:/{name}/latest",
        "request_timeout_s": 5,
        "max_body_bytes": 2**20,
    }
    # What a start finds, apart from the service that is fuzzed.
    with start(folder / "once", server.uri, **settings) as first:
        first.post("/model/pin", {"version": "1"}).raise_for_status()
        cache_dir = first.cache_dir
    port = free_port()
    more: dict[str, Any] = {"admin_token": TOKEN, "webhook_secret": SECRET, "grpc_port": port}
    with start(folder / "fuzzed", server.uri, **more, **settings) as running:
        # Compiling and the like are over, so that what it holds is what it needs.
        running.wait_until(running.is_at_rest, "it is at rest")
        service = Service(running)
        model = running.get("/models").json()["default"]
        yield [
            Heads(service),
            RawBytes(service),
            JsonBodies(service),
            ArrowBodies(service),
            TensorCalls(service, model),
            MessageCalls(service, f"127.0.0.1:{port}", model),
            ScoringBodies(service),
            Deliveries(service),
            Starts(folder, cache_dir, server.uri, settings),
        ]


def _signature(server: MlflowServer) -> Any:
    with server.active():
        from mlflow.models import ModelSignature  # noqa: PLC0415 - slow, and wanted here alone
        from mlflow.types import ColSpec, Schema  # noqa: PLC0415 - the same

        inputs = [ColSpec(kind, kind, required=False) for kind in KINDS]
        return ModelSignature(Schema(inputs), Schema([ColSpec("double", "y")]))
