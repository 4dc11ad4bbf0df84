"""A defect of ours is told in each protocol's own form, directly and by the handler."""

from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import structlog.testing
from litestar import Litestar
from litestar.di import Provide

from service.core.errors import DeadlineExceededError, ServiceError
from service.core.protocols import WireProtocol
from service.core.versions import ModelVersion
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers import problems
from service.handlers.compression import Compression
from service.handlers.inference.direct import JSON_BYTES
from service.handlers.inference.infer import infer
from service.handlers.predictions.predict import predict
from service.handlers.request_id import RequestIds
from service.handlers.scoring.invocations import invocations
from service.serving.dataplane import DataPlane
from service.serving.routes import Routes
from service.telemetry.metrics.calls import CallCounts
from tests.support.direct_answers import direct_answers
from tests.support.fake_models import CONTRACT
from tests.support.served_version import Listening

JSON = {"content-type": "application/json"}
LATE = {"x-request-timeout-ms": "soon"}
CODING = "unsupported-content-type"
PROBLEM = {
    "type": "urn:mlflow-hotswap:internal",
    "title": "The service failed",
    "status": 500,
    "detail": problems.UNEXPECTED,
}
SCORED = {"error_code": "INTERNAL_ERROR", "message": problems.UNEXPECTED}
INFERRED = {"error": problems.UNEXPECTED}


class Serving(Deployment):
    """A deployment with a version, as far as handlers look at it."""

    def __init__(self) -> None:
        self.name = "m"
        version = ModelVersion("r", "m", "7", "", "", 0)
        current = SimpleNamespace(version=version, contract=CONTRACT)
        self.routes = cast("Routes", SimpleNamespace(current=current))
        self.listening = Listening()
        self.observer = self.listening


class Known(Deployments):
    """Deployments of which none takes another one's place."""

    def __init__(self) -> None:
        """Have none."""

    def latest(self, deployment: Deployment) -> Deployment:
        """Return it."""
        return deployment


class Defective(DataPlane):
    """A data plane that fails in the same way each time."""

    def __init__(self) -> None:
        super().__init__(1_000, 1_000)
        self.error: Exception = LookupError("secret")
        self.deadlines: list[float | None] = []

    def refusal(self, *_: object) -> None:
        """Let it in."""

    async def infer(self, *asked: Any) -> Any:
        """Fail."""
        _, _, _, _, deadline_s, *_ = asked
        self.deadlines.append(deadline_s)
        raise self.error


@pytest.fixture
def defective() -> Defective:
    """Return what fails."""
    return Defective()


@pytest.fixture
def serving() -> Serving:
    """Return a deployment."""
    return Serving()


@pytest.fixture
def client(defective: Defective, serving: Serving) -> httpx.AsyncClient:
    """Ask an application that has both."""
    known, compression = Known(), Compression(1_000)
    app = Litestar(
        route_handlers=[predict, invocations, infer],
        dependencies={
            "deployment": Provide(lambda: serving, sync_to_thread=False),
            "deployments": Provide(lambda: known, sync_to_thread=False),
            "dataplane": Provide(lambda: defective, sync_to_thread=False),
            "compression": Provide(lambda: compression, sync_to_thread=False),
        },
        exception_handlers={
            ServiceError: problems.answer_service_error,
            Exception: problems.answer_unexpected,
        },
        logging_config=None,
    )
    framework = RequestIds(app.asgi_handler, CallCounts())
    app.asgi_handler = direct_answers(framework, defective, lambda _: serving, 1_000)
    transport = httpx.ASGITransport(cast("Any", app), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://m")


WAYS = [
    ("/predict", JSON, PROBLEM),
    ("/predict", {}, PROBLEM),
    ("/models/m/invocations", JSON, SCORED),
    ("/models/m/invocations", {"content-type": "application/json; charset=utf-8"}, SCORED),
    ("/v2/models/m/infer", JSON, INFERRED),
    ("/v2/models/m/infer", {"content-encoding": "identity"}, INFERRED),
]


@pytest.mark.parametrize(("path", "headers", "told"), WAYS)
async def test_a_defect_is_told_in_the_protocols_form(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], told: dict[str, Any]
) -> None:
    """500, and nothing of what it is; the log has that."""
    with structlog.testing.capture_logs() as logged:
        answer = await client.post(path, content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()) == (500, told)
    assert [line["event"] for line in logged] == ["request broke off"]
    assert isinstance(logged[0]["exc_info"], LookupError)


@pytest.mark.parametrize(("path", "headers", "told"), WAYS)
async def test_a_head_may_give_its_request_less_time(
    client: httpx.AsyncClient,
    defective: Defective,
    path: str,
    headers: dict[str, str],
    told: dict[str, Any],
) -> None:
    """By `x-request-timeout-ms`, which has to be a number; 504 in the protocol's form."""
    defective.error = DeadlineExceededError()
    given = headers | {"x-request-timeout-ms": "60000"}
    answer = await client.post(path, content=b"{}", headers=given)
    assert answer.status_code == 504
    assert answer.json().keys() == told.keys()
    for wrong in ("0", "-1", "1.5", "soon", "", "9" * 20):
        given = headers | {"x-request-timeout-ms": wrong}
        answer = await client.post(path, content=b"{}", headers=given)
        assert answer.status_code == 400, wrong
        assert answer.json().keys() == told.keys()
        assert "x-request-timeout-ms" in answer.text
    (deadline_s,) = defective.deadlines
    assert deadline_s is not None


EARLY = [
    ("/predict", JSON | LATE, WireProtocol.NATIVE, "malformed-header"),
    ("/predict", {"content-type": "text/csv"}, WireProtocol.NATIVE, "unsupported-content-type"),
    ("/models/m/invocations", JSON | LATE, WireProtocol.MLFLOW, "malformed-header"),
    ("/invocations", {"content-type": "a/b"}, WireProtocol.MLFLOW, "unsupported-content-type"),
    ("/v2/models/m/infer", LATE, WireProtocol.OIP, "malformed-header"),
    ("/v2/models/m/infer", {"content-encoding": "br"}, WireProtocol.OIP, CODING),
    ("/v2/models/m/infer", {JSON_BYTES: "some"}, WireProtocol.OIP, "malformed-body"),
    ("/v2/models/m/versions/9/infer", {}, WireProtocol.OIP, "unknown-version"),
]


@pytest.mark.parametrize(("path", "headers", "protocol", "code"), EARLY)
async def test_what_ends_before_a_version_has_it_is_told_once(
    client: httpx.AsyncClient,
    serving: Serving,
    path: str,
    headers: dict[str, str],
    protocol: WireProtocol,
    code: str,
) -> None:
    """By its protocol, whether it was met directly or by the handler."""
    answer = await client.post(path, content=b"{}", headers=headers)
    assert 400 <= answer.status_code < 500
    ((version, error),) = serving.listening.failed
    assert (error.code, serving.listening.protocols) == (code, [protocol])
    assert (version is None) is (code == "unknown-version")
