"""MLflow's errors read: which one says that a pointer means nothing, and what to tell of the rest.

Free of MLflow, so that it can be tried on any error: it looks at `error_code`, `json` and the text.
"""

import errno
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from service.core.text import presentable

_SHOWN_CHARACTERS = 300
_READ_CHARACTERS = 100_000
"""No more is read of an error, which may hold a whole page of a registry."""
_EXTRAS = {
    "boto3": "s3",
    "botocore": "s3",
    "azure": "azure",
    "google": "gcs",
}
_EXTRA_HINTS = {"boto3": "s3", "azure-storage": "azure", "google-cloud-storage": "gcs"}
_CREDENTIALS_HINT = (
    "check the credentials in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or in "
    "MLFLOW_TRACKING_TOKEN (DATABRICKS_TOKEN on Databricks)"
)
_STORE_HINT = (
    "for artifacts in a bucket, check its credentials (AWS_..., AZURE_... or GOOGLE_... variables)"
)
_CODES = {
    "UNAUTHENTICATED": 401,
    "CUSTOMER_UNAUTHORIZED": 401,
    "PERMISSION_DENIED": 403,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "RESOURCE_EXHAUSTED": 429,
    "TEMPORARILY_UNAVAILABLE": 503,
}
_STATUS = re.compile(
    r"(?:error code |too many |status[ _]code[:= ]+|HTTP )(?P<status>[45]\d\d)\b"
    r"|\b(?P<named>[45]\d\d) (?:Client|Server) Error"
)
_TIMEOUT = re.compile(r"time(?:d)?[ -]?out", re.IGNORECASE)
_BODY = re.compile(r"Response body: '.*", re.DOTALL)


def is_absence(error: Exception, *, alias: str = "", over_http: bool) -> bool:
    """Whether an MlflowException is the registry's own word that what was asked for is not there.

    The codes and texts are those of MLflow 3.17 (`store/model_registry/sqlalchemy_store.py`,
    `file_store.py`): RESOURCE_DOES_NOT_EXIST for models, versions, runs and logged models, and
    INVALID_PARAMETER_VALUE, which has many other meanings, for an alias. Over HTTP only an
    answer in MLflow's JSON counts: a proxy's 404 page has the same code in MLflow's eyes.
    """
    if over_http:
        answer = getattr(error, "json", None)
        if not isinstance(answer, dict):
            return False
        code, message = answer.get("error_code"), answer.get("message")
    else:
        code, message = getattr(error, "error_code", None), getattr(error, "message", None)
    if not isinstance(message, str):
        return False
    if code == "RESOURCE_DOES_NOT_EXIST":
        # A workspace that is not there is a wrong setting, and says nothing of the pointer.
        return not message.startswith("Workspace ")
    return bool(alias) and (code, message) == (
        "INVALID_PARAMETER_VALUE",
        f"Registered model alias {alias} not found.",
    )


def is_over_http(uri: str) -> bool:
    """Whether MLflow's client asks what is at this address by HTTP."""
    scheme = urlsplit(uri).scheme
    # Databricks is named without a scheme; a single letter is a drive of Windows.
    is_folder = scheme == "file" or (len(scheme) <= 1 and not uri.startswith("databricks"))
    return not is_folder and "sql" not in scheme


def is_missing_endpoint(error: Exception) -> bool:
    """Whether a server does not know what it was asked: its answer is a 404 that is not MLflow's.

    MLflow's own word that something is absent comes with JSON that says so.
    """
    answer = getattr(error, "json", None)
    if isinstance(answer, dict):
        return answer.get("error_code") == "ENDPOINT_NOT_FOUND"
    return _status(error, _text(error)) == 404  # noqa: PLR2004 - HTTP's number


def explain(error: Exception, where: str) -> str:
    """Return a sentence on what failed at `where` that a person can act on, without credentials."""
    text = " ".join(_BODY.sub("", _text(error)[:_READ_CHARACTERS]).split())
    status = _status(error, text)
    if extra := _missing_extra(error):
        said = f'a library is missing to reach it; pip install "mlflow-hotswap[{extra}]"'
    elif status:
        said = _of_status(status, error, text)
    elif "valid JSON format" in text:
        said = (
            "it answered with something other than MLflow's JSON; "
            "check that the address is MLflow's own and not that of a login page or proxy"
        )
    elif "Connection refused" in text or "actively refused" in text:
        said = "nothing listens there (connection refused); check the address, or start the server"
    elif "resolve" in text and ("NameResolution" in text or "Name or service" in text):
        said = "its host name is not known (DNS); check the address"
    elif _TIMEOUT.search(text):
        said = f"it did not answer in time; {_short(text)}"
    elif _no_space(error):
        said = "there is no space left on the disk of CACHE_DIR"
    else:
        said = _short(text)
    return presentable(f"{where}: {said}")


def _of_status(status: int, error: Exception, text: str) -> str:
    """Say what an answer with an HTTP error means."""
    if status in {401, 403}:
        verb = "wants to know who asks" if status == 401 else "does not let us in"  # noqa: PLR2004
        return f"it {verb} ({status}); {_CREDENTIALS_HINT}; {_STORE_HINT}"
    if status == 429:  # noqa: PLR2004
        return "it asks to be asked less often (429); raise POLL_INTERVAL_S if this goes on"
    if status == 404 and not isinstance(getattr(error, "json", None), dict):  # noqa: PLR2004
        return (
            f"it answered 404, and not as MLflow does; {_short(text)}; check the path of "
            "MLFLOW_TRACKING_URI: a server that was started with --static-prefix=/PREFIX is at "
            "http://HOST:PORT/PREFIX"
        )
    return f"it answered {status}; {_short(text)}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and what it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _text(error: Exception) -> str:
    return str(getattr(error, "message", "") or error) or type(error).__name__


def _short(text: str) -> str:
    return presentable(text, _SHOWN_CHARACTERS)


def _status(error: Exception, text: str) -> int:
    if status := _CODES.get(str(getattr(error, "error_code", ""))):
        return status
    if found := _STATUS.search(text):
        return int(found["status"] or found["named"])
    if re.search(r"\bunauthori[sz]ed\b", text, re.IGNORECASE):
        return 401
    if re.search(r"\bforbidden\b|AccessDenied", text, re.IGNORECASE):
        return 403
    return 0


def _missing_extra(error: Exception) -> str:
    for link in causes(error):
        if isinstance(link, ImportError):
            if extra := _EXTRAS.get((link.name or "").partition(".")[0]):
                return extra
            if found := re.search(r"No module named '(\w+)", str(link)):
                return _EXTRAS.get(found[1], "")
    text = _text(error)
    if found := re.search(r"No module named '(\w+)", text):
        return _EXTRAS.get(found[1], "")
    if "install" in text:
        return next((extra for name, extra in _EXTRA_HINTS.items() if name in text), "")
    return ""


def _no_space(error: Exception) -> bool:
    return "No space left on device" in _text(error) or any(
        isinstance(link, OSError) and link.errno == errno.ENOSPC for link in causes(error)
    )
