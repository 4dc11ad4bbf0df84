"""A live service whose callers bring tokens of an identity provider, by HTTP and by gRPC."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.grpc_caller import calling
from tests.support.identity_provider import (
    AUDIENCE,
    Issuer,
    SigningKey,
    claims_of,
    issuing,
    reply,
)
from tests.support.inference_messages import request as infer_message
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.running_service import RunningService, start

MODEL = "one"
FIRST = SigningKey("first")


class Trusting(NamedTuple):
    """A service, and the identity provider that it trusts."""

    service: RunningService
    issuer: Issuer
    grpc_address: str

    def bearer(self, key: SigningKey = FIRST, **claims: Any) -> dict[str, str]:
        """Return the header that brings a token with these claims."""
        return {"authorization": f"Bearer {key.sign(claims_of(self.issuer.url, **claims))}"}

    def predict(self, headers: dict[str, str]) -> int:
        """Return the status of an answer."""
        body = {"instances": [{"a": 1.0}]}
        return self.service.post("/predict", body, headers=headers).status_code


@pytest.fixture(scope="module")
def trusting(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trusting]:
    """Serve a tiny model to those with a token."""
    name, port = unique_name("oidc"), free_port()
    mlflow_server.register_tiny(name, 2.0)
    with issuing() as issuer:
        issuer.keys = [FIRST.jwk]
        with start(
            tmp_path_factory.mktemp("oidc"),
            mlflow_server.uri,
            models=f"{MODEL}=models:/{name}/1",
            oidc_issuer=issuer.url,
            oidc_audience=AUDIENCE,
            oidc_models_claim="models",
            grpc_port=port,
        ) as service:
            yield Trusting(service, issuer, f"127.0.0.1:{port}")


def test_a_token_opens_what_its_claims_say(trusting: Trusting) -> None:
    """By HTTP and by gRPC, one of a model, one of all; and nothing without one."""
    client = trusting.service.client
    one: dict[str, Any] = {"models": [MODEL]}
    assert trusting.predict({}) == 401
    assert trusting.predict(trusting.bearer(aud="another", **one)) == 401
    assert trusting.predict(trusting.bearer(SigningKey("first"), **one)) == 401
    assert trusting.predict(trusting.bearer(**one)) == 200
    assert trusting.predict(trusting.bearer(models="*")) == 200
    assert trusting.predict(trusting.bearer(scope="read", **one)) == 403
    assert trusting.predict(trusting.bearer()) in {403, 404}
    for scope, status in (("predict", 403), ("read", 200), ("admin", 200)):
        headers = trusting.bearer(scope=scope, **one)
        assert client.get("/model/info", headers=headers).status_code == status
    for scope, status in (("predict", 403), ("read", 403), ("admin", 200)):
        headers = trusting.bearer(scope=scope, **one)
        assert trusting.service.post("/reload-model", headers=headers).status_code == status
    message = infer_message({"a": [1.0]}, raw=True, model_name=MODEL)
    with calling(trusting.grpc_address) as call:
        metadata = tuple(trusting.bearer(**one).items())
        assert call("ModelInfer", message, metadata=metadata).model_version == "1"
        for headers, wanted in (
            ({}, "UNAUTHENTICATED"),
            (trusting.bearer(iss="https://x.example", **one), "UNAUTHENTICATED"),
            (trusting.bearer(scope="read", **one), "PERMISSION_DENIED"),
        ):
            code, _ = call.refused("ModelInfer", message, metadata=tuple(headers.items()))
            assert code == wanted
    log = trusting.service.log.read_text("utf-8")
    assert metadata[0][1].split(".")[1] not in log
    # Whatever the issuer does from now on, what is known goes on.
    trusting.issuer.respond = _fail
    assert trusting.predict(trusting.bearer(sub="another", **one)) == 200


def _fail(handler: Any) -> bool:
    reply(handler, 503, b"")
    return True
