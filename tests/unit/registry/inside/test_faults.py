import errno

import pytest

from service.registry.inside.faults import explain, is_absence


class Fault(Exception):  # noqa: N818 - it stands for MlflowException
    """As MLflow's: a code's name, a message, and for an answer over REST its JSON."""

    def __init__(self, code: str, message: str, *, over_rest: bool) -> None:
        super().__init__(message)
        self.error_code = code
        self.message = message
        if over_rest:
            self.json = {"error_code": code, "message": message}


NO_ALIAS = ("INVALID_PARAMETER_VALUE", "Registered model alias champion not found.")
NO_MODEL = ("RESOURCE_DOES_NOT_EXIST", "Registered Model with name=m not found")


@pytest.mark.parametrize("over_http", [True, False])
@pytest.mark.parametrize(("code", "message"), [NO_ALIAS, NO_MODEL])
def test_the_registrys_own_word_is_absence(code: str, message: str, over_http: bool) -> None:  # noqa: FBT001
    """From a server and from a database alike."""
    fault = Fault(code, message, over_rest=over_http)
    assert is_absence(fault, alias="champion", over_http=over_http)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("INVALID_PARAMETER_VALUE", "Invalid alias name: 'champion'."),
        ("INVALID_PARAMETER_VALUE", "Registered model alias other not found."),
        ("INVALID_PARAMETER_VALUE", "Invalid value for parameter 'name'"),
        ("RESOURCE_DOES_NOT_EXIST", "Workspace 'w' not found"),
        ("INTERNAL_ERROR", "Registered model alias champion not found."),
        ("ENDPOINT_NOT_FOUND", "not found"),
        ("PERMISSION_DENIED", "not found"),
    ],
)
def test_the_same_codes_with_other_meanings_are_no_absence(code: str, message: str) -> None:
    """INVALID_PARAMETER_VALUE is used for many faults."""
    assert not is_absence(Fault(code, message, over_rest=True), alias="champion", over_http=True)


def test_a_missing_alias_is_absence_only_where_an_alias_was_asked_for() -> None:
    """Other pointers know no such answer."""
    assert not is_absence(Fault(*NO_ALIAS, over_rest=True), alias="", over_http=True)


def test_a_404_page_is_no_absence_over_http() -> None:
    """MLflow gives a page of a proxy the same code as an answer of its own."""
    assert not is_absence(Fault(*NO_MODEL, over_rest=False), over_http=True)


@pytest.mark.parametrize("answer", [["list"], {"error_code": NO_MODEL[0]}, {"detail": "x"}])
def test_json_that_is_not_mlflows_is_no_absence(answer: object) -> None:
    """A gateway speaks JSON, too."""
    fault = Fault(*NO_MODEL, over_rest=True)
    fault.json = answer  # type: ignore[assignment]
    assert not is_absence(fault, over_http=True)


@pytest.mark.parametrize(
    ("code", "message", "wanted"),
    [
        ("UNAUTHENTICATED", "failed with error code 401 != 200", "MLFLOW_TRACKING_USERNAME"),
        ("PERMISSION_DENIED", "no", "MLFLOW_TRACKING_TOKEN"),
        ("INTERNAL_ERROR", "INTERNAL_ERROR: Response: {'detail': 'Unauthorized'}", "401"),
        ("INTERNAL_ERROR", "ResponseError('too many 503 error responses')", "answered 503"),
        ("INTERNAL_ERROR", "429 Client Error: slow down", "less often"),
        ("INTERNAL_ERROR", "failed with timeout exception Read timed out.", "in time"),
        ("INTERNAL_ERROR", "[Errno 111] Connection refused", "nothing listens there"),
        ("INTERNAL_ERROR", "the body was not in a valid JSON format", "address is MLflow's"),
        ("INTERNAL_ERROR", "OSError: [Errno 28] No space left on device", "CACHE_DIR"),
        ("INTERNAL_ERROR", "No module named 'boto3'", 'pip install "mlflow-hotswap[s3]"'),
        ("INTERNAL_ERROR", "please install google-cloud-storage", "mlflow-hotswap[gcs]"),
    ],
)
def test_each_fault_gets_a_sentence_to_act_on(code: str, message: str, wanted: str) -> None:
    """And names the place."""
    said = explain(Fault(code, message, over_rest=False), "the registry at http://h")
    assert said.startswith("the registry at http://h: ")
    assert wanted in said


def test_a_missing_library_deep_in_the_chain_names_its_extra() -> None:
    """MLflow wraps what it imports late."""
    fault = Fault("INTERNAL_ERROR", "failed", over_rest=False)
    fault.__cause__ = ModuleNotFoundError("No module named 'azure'", name="azure.storage")
    assert 'pip install "mlflow-hotswap[azure]"' in explain(fault, "x")


def test_a_full_disk_is_told_as_such() -> None:
    """By its number, whatever the text."""
    assert "no space left" in explain(OSError(errno.ENOSPC, "voll"), "x")


def test_no_sentence_shows_a_credential_or_a_whole_page() -> None:
    """Texts are cut after they are redacted, never before."""
    message = f"{'x' * 280} http://alice:{'s3cret' * 20}@host/ Response body: '<html>{'y' * 9000}'"
    said = explain(Fault("INTERNAL_ERROR", message, over_rest=False), "http://u:s3cret@h")
    assert "s3cret" not in said
    assert len(said) < 500


def test_a_404_page_leads_to_the_path_of_the_address() -> None:
    """A server with a static prefix answers so below any other path; its own 404 does not."""
    message = (
        "API request to endpoint /api/2.0/mlflow/registered-models/alias failed with error code "
        "404 != 200. Response body: '<!doctype html><title>404 Not Found</title>'"
    )
    said = explain(Fault("ENDPOINT_NOT_FOUND", message, over_rest=False), "the registry")
    assert "MLFLOW_TRACKING_URI" in said
    assert "--static-prefix" in said
    own = Fault("RESOURCE_DOES_NOT_EXIST", "failed with error code 404 != 200", over_rest=True)
    assert "--static-prefix" not in explain(own, "the registry")
