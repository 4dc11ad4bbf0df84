"""A service over TLS, as users start and call it: HTTP, gRPC and the commands beside it."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from service.handlers.grpc.open_inference_pb2 import ServerLiveRequest, ServerLiveResponse
from tests.support.made_certificates import Made, make_authority, make_certificate, the_authority
from tools import running_service
from tools.load import Hammer
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.running_service import RunningService

CLIENTS = 4
PAGE = "https://app.example.com"
ALLOWED = "access-control-allow-origin"
LIVE = "/inference.GRPCInferenceService/ServerLive"


class Served:
    """A service over TLS, and where its certificate and key are."""

    def __init__(self, service: RunningService, folder: Path, grpc_port: int) -> None:
        self.service = service
        self.files = folder / "tls.crt", folder / "tls.key"
        self.http_port = int(service.url.rpartition(":")[2])
        self.grpc_port = grpc_port

    def shown(self, port: int) -> bytes:
        """Return the certificate that a new connection is shown."""
        context = the_authority().client_context()
        context.set_alpn_protocols(["h2" if port == self.grpc_port else "http/1.1"])
        with (
            socket.create_connection(("127.0.0.1", port), 10) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
        ):
            return tls.getpeercert(binary_form=True) or b""

    def is_shown(self, made: Made) -> bool:
        """Tell whether new connections are shown it, by both protocols."""
        return all(self.shown(port) == made.der for port in (self.http_port, self.grpc_port))

    def degraded(self) -> str:
        """Return what `/health` says is wrong."""
        return str(self.service.get("/health").json()["degraded"])


@pytest.fixture(scope="module")
def served(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """Serve a tiny model over TLS."""
    name, folder = unique_name("https"), tmp_path_factory.mktemp("https")
    mlflow_server.register_tiny(name, 2.0)
    mlflow_server.set_alias(name, "champion", 1)
    make_certificate(the_authority()).write(folder / "tls.crt", folder / "tls.key")
    port = free_port()
    with running_service.start(
        folder,
        mlflow_server.uri,
        command=("-m", "service", "serve", "--ssl-keyfile", "tls.key"),
        trusted=the_authority().client_context(),
        model_uri=f"models:/{name}@champion",
        ssl_certfile="tls.crt",
        grpc_port=port,
        cors_origins=PAGE,
    ) as service:
        yield Served(service, folder, port)


def live(channel: Any) -> bool:
    """Return what a call over gRPC says."""
    call = channel.unary_unary(
        LIVE,
        request_serializer=ServerLiveRequest.SerializeToString,
        response_deserializer=ServerLiveResponse.FromString,
    )
    return bool(call(ServerLiveRequest(), timeout=10).live)


def test_a_new_certificate_is_shown_and_no_call_fails(served: Served) -> None:
    """With clients over connections that stay, and over gRPC; a broken pair changes nothing."""
    service, options = served.service, [("grpc.enable_http_proxy", 0)]
    roots = grpc.ssl_channel_credentials(the_authority().chain_pem)
    address = f"127.0.0.1:{served.grpc_port}"
    with (
        grpc.secure_channel(address, roots, options=options) as channel,
        Hammer(service.url, CLIENTS, trusted=the_authority().client_context()) as hammer,
    ):
        assert live(channel)
        service.wait_until(lambda: all(hammer.seen), "all clients are answered")
        made = make_certificate(the_authority())
        # First by halves: the certificate alone is not its key's.
        served.files[0].write_bytes(made.chain_pem)
        service.wait_until(lambda: "SSL_CERTFILE" in served.degraded(), "it is said in /health")
        assert not served.is_shown(made)
        made.write(*served.files)
        service.wait_until(lambda: served.is_shown(made), "new connections are shown the new one")
        assert served.degraded() == "None"
        assert live(channel)
        answered = [len(seen) for seen in hammer.seen]
        service.wait_until(
            lambda: all(len(s) > n + 10 for s, n in zip(hammer.seen, answered, strict=True)),
            "all clients go on",
        )
    assert hammer.failed == []
    events = [event["event"] for event in service.events()]
    assert events.count("certificate is not in use") == 1
    assert events.count("certificate is in use") == 1


def test_neither_protocol_is_spoken_in_the_open(served: Served) -> None:
    """Nor below TLS 1.2."""
    with socket.create_connection(("127.0.0.1", served.http_port), 10) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n")
        assert b"HTTP" not in raw.recv(1000)
    options = [("grpc.enable_http_proxy", 0)]
    with (
        grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}", options=options) as channel,
        pytest.raises(grpc.RpcError) as raised,
    ):
        live(channel)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_nothing_below_1_2_is_spoken(served: Served) -> None:
    """By HTTP or gRPC."""
    context = the_authority().client_context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    for port in (served.http_port, served.grpc_port):
        with (
            socket.create_connection(("127.0.0.1", port), 10) as raw,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            context.wrap_socket(raw, server_hostname="127.0.0.1")


def test_commands_trust_the_services_certificate_alone(served: Served, tmp_path: Path) -> None:
    """The one of SSL_CERTFILE, or one of SSL_CAFILE's; another is sent no token."""
    certfile = served.files[0]
    ours, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    ours.write_bytes(the_authority().chain_pem)
    other.write_bytes(make_authority().chain_pem)
    for trust in ({"ssl_certfile": certfile}, {"ssl_cafile": ours}):
        said = served.service.hotswap("status", "--json", **trust)
        assert said.returncode == 0, said.stdout + said.stderr
    same_authority = tmp_path / "same.pem"
    same_authority.write_bytes(make_certificate(the_authority()).chain_pem + certfile.read_bytes())
    for trust in ({"ssl_certfile": same_authority}, {"ssl_cafile": other}):
        said = served.service.hotswap("status", **trust)
        assert said.returncode == 2
        assert "CERTIFICATE_VERIFY_FAILED" in said.stdout
        said = served.service.hotswap("unpin", **trust)
        assert said.returncode == 1
        assert "CERTIFICATE_VERIFY_FAILED" in said.stderr
    said = served.service.hotswap("unpin", ssl_certfile=certfile)
    assert said.returncode == 0, said.stderr
    said = served.service.hotswap("status", ssl_cafile=tmp_path / "none.pem")
    assert said.returncode == 2
    assert "SSL_CAFILE" in said.stdout


def test_pages_of_cors_origins_ask_for_predictions_and_change_nothing(served: Served) -> None:
    """By the direct way, by the framework's, and where something is wrong with what they ask."""
    service, page = served.service, {"origin": PAGE}
    rows = {"instances": [{"a": 1.0}]}
    for status, answer in (
        (200, service.client.post("/predict", json=rows, headers=page)),
        (200, service.client.post("/predict", json=rows, headers={**page, "accept": "*/*;q=0.5"})),
        (400, service.client.post("/predict", content=b"{", headers=page)),
        (
            415,
            service.client.post("/predict", content=b"a", headers={**page, "content-type": "x/y"}),
        ),
        (200, service.client.get("/model/info", headers=page)),
        (404, service.client.get("/nothing", headers=page)),
        (403, service.client.get("/model/info", headers={**page, "host": "evil.example"})),
    ):
        assert (answer.status_code, answer.headers.get(ALLOWED)) == (status, PAGE)
        assert answer.headers["x-content-type-options"] == "nosniff"
    asks = {**page, "access-control-request-method": "POST"}
    for path, methods in (("/predict", "GET, HEAD, POST"), ("/reload-model", "GET, HEAD")):
        answer = service.client.options(path, headers=asks)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-methods"] == methods
    for method, path in (
        ("POST", "/reload-model"),
        ("POST", "/model/pin"),
        ("DELETE", "/model/pin"),
    ):
        answer = service.client.request(method, path, headers=page)
        assert answer.status_code == 403
        assert ALLOWED not in answer.headers
    other = service.client.post("/predict", json=rows, headers={"origin": "https://evil.example"})
    assert ALLOWED not in other.headers
