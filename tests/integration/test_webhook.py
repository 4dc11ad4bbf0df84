"""`POST /webhooks/mlflow`, by a real MLflow server that delivers to a real service."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.core.events import Trigger
from service.deployments import Deployments
from service.registry.webhook import Deliveries
from service.settings.environment import load_settings
from tools import mlflow_server as mlflow_server_module
from tools import running_service
from tools.mlflow_server import MlflowServer, free_port
from tools.running_service import RunningService

SECRET = "of-this-test-alone"  # noqa: S105 - what it says
PATH = "/webhooks/mlflow"
NAME, OTHER = "hooked", "another"
PREFIX = "urn:mlflow-hotswap:webhook-"


@dataclass
class Hooked:
    """A service that would poll once an hour, and a registry that calls it."""

    server: MlflowServer
    service: RunningService

    def looked_at(self) -> str:
        """Return when the service last looked at the registry."""
        moment: str = self.service.info()["registry"]["last_good_look_at"]
        return moment

    def deliver(
        self,
        body: bytes = b"{}",
        *,
        delivery_id: str = "",
        late_s: int = 0,
        secret: str = SECRET,
    ) -> httpx.Response:
        """Deliver as MLflow would."""
        delivery_id = delivery_id or str(time.monotonic_ns())
        timestamp = str(int(time.time()) - late_s)
        signature = Deliveries(secret).signature(delivery_id, timestamp, body).decode()
        headers = {
            "X-MLflow-Delivery-Id": delivery_id,
            "X-MLflow-Timestamp": timestamp,
            "X-MLflow-Signature": signature,
        }
        return self.service.post(PATH, body, headers=headers)


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hooked]:
    """Register the webhook before the server's first event: it caches the subscriptions."""
    folder, port = tmp_path_factory.mktemp("webhook"), free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
        patch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
        server = mlflow_server_module.start(folder / "mlflow")
    try:
        registering = {
            "name": "hotswap",
            "url": f"http://127.0.0.1:{port}{PATH}",
            "events": [{"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}],
            "secret": SECRET,
        }
        with httpx.Client(trust_env=False) as client:
            answer = client.post(f"{server.uri}/api/2.0/mlflow/webhooks", json=registering)
            answer.raise_for_status()
        for name in (NAME, OTHER):
            for factor in (2.0, 3.0):
                server.register_tiny(name, factor)
        server.set_alias(NAME, "live", 1)
        with running_service.start(
            folder / "service",
            server.uri,
            port=port,
            model_uri=f"models:/{NAME}@live",
            poll_interval_s=3600,
            webhook_secret=SECRET,
        ) as service:
            yield Hooked(server, service)
    finally:
        server.stop()


def test_a_promotion_wakes_the_watcher_by_webhook(hooked: Hooked) -> None:
    """The next poll would come in an hour; the journal says what noticed the promotion."""
    hooked.server.set_alias(NAME, "live", 2)
    hooked.service.wait_serving(2)
    newest = hooked.service.info()["promotions"][0]
    assert (newest["version"], newest["trigger"]) == ("2", Trigger.WEBHOOK)
    assert hooked.service.predict({"a": 1.0}).json()["predictions"] == [{"y": 3.0}]


def test_mlflows_own_test_of_a_webhook_succeeds(hooked: Hooked) -> None:
    """Its example is of another model, which is fine and no reason to look."""
    ended_at = hooked.service.info()["promotions"][0]["ended_at"]
    hooked.service.wait_until(lambda: hooked.looked_at() > ended_at, "the look after a promotion")
    before = hooked.looked_at()
    with hooked.server.active():
        client = hooked.server.client
        (webhook,) = client.list_webhooks()
        result = client.test_webhook(webhook.webhook_id)
    assert result.success, result
    assert "ignored" in result.response_body
    assert hooked.looked_at() == before


def test_what_an_event_says_is_not_believed(hooked: Hooked) -> None:
    """It names a version that nobody promoted: the registry is asked, and decides."""
    before, serving = hooked.looked_at(), hooked.service.info()["model_version"]
    event = b'{"entity":"model_version_alias","action":"created","timestamp":"",'
    said = event + f'"data":{{"name":"{NAME}","alias":"live","version":"7"}}}}'.encode()
    assert hooked.deliver(said).json() == {"status": "looking"}
    hooked.service.wait_until(lambda: hooked.looked_at() != before, "another look")
    assert hooked.service.info()["model_version"] == serving
    assert len(hooked.service.info()["versions"]) <= 2


def test_a_delivery_that_is_not_to_be_believed_changes_nothing(hooked: Hooked) -> None:
    """Unsigned and foreign: 401; stale and replayed: 400. None leads to a look."""
    before = hooked.looked_at()
    assert hooked.deliver(delivery_id="once").status_code == 200
    hooked.service.wait_until(lambda: hooked.looked_at() != before, "a look")
    before = hooked.looked_at()
    unsigned = hooked.service.post(PATH, b"{}")
    foreign = hooked.deliver(secret="another")  # noqa: S106 - what it says
    stale, early = hooked.deliver(late_s=302), hooked.deliver(late_s=-302)
    replayed = hooked.deliver(delivery_id="once")
    assert [answer.status_code for answer in (unsigned, foreign)] == [401, 401]
    assert [answer.status_code for answer in (stale, early, replayed)] == [400, 400, 400]
    assert {answer.json()["type"] for answer in (unsigned, foreign)} == {PREFIX + "unsigned"}
    assert {answer.json()["type"] for answer in (stale, early, replayed)} == {PREFIX + "spent"}
    assert unsigned.headers["www-authenticate"] == "X-MLflow-Signature"
    assert hooked.service.post(PATH, b" " * 1_048_577).status_code == 413
    encoded = {"content-encoding": "gzip"}
    assert hooked.service.client.post(PATH, content=b"{}", headers=encoded).status_code == 415
    assert hooked.looked_at() == before


def test_without_a_secret_the_call_does_not_exist(tmp_path: Path) -> None:
    """There is nothing to be believed by."""
    for secret, exists in ((SECRET, True), ("", False)):
        settings = load_settings({"CACHE_DIR": str(tmp_path), "WEBHOOK_SECRET": secret})
        app = create_app(Deployments(settings))
        assert (PATH in {route.path for route in app.routes}) is exists
