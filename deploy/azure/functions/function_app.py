"""Azure Functions that wake the service: by the clock, and by a webhook of MLflow's registry.

The service polls by itself; these are for a registry that it polls rarely, and for one whose
webhooks can't reach it.
"""

import logging
import os

import azure.functions as func
from waking import NotBelievedError, NotWokenError, Service, believe, wake

TIMER_LIMIT_S = 420.0
"""Below the functionTimeout of host.json, above the service's own LOAD_TIMEOUT_S."""
WEBHOOK_LIMIT_S = 15.0
"""MLflow waits 30 s for an answer, and sends again without one."""

_log = logging.getLogger("hotswap.wake")

app = func.FunctionApp()


@app.timer_trigger(schedule="%HOTSWAP_WAKE_SCHEDULE%", arg_name="timer", run_on_startup=False)
def wake_by_the_clock(timer: func.TimerRequest) -> None:
    """Have the service look; a failure is the function's, and shows as one."""
    _log.info("past due: %s; %s", timer.past_due, wake(Service.of(), TIMER_LIMIT_S))


@app.route(
    route="registry",
    methods=["POST"],
    auth_level=func.AuthLevel.ANONYMOUS,
    trigger_arg_name="request",
)
def wake_by_webhook(request: func.HttpRequest) -> func.HttpResponse:
    """Have the service look where MLflow signed the delivery; anybody else gets 401."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        believe(os.environ.get("HOTSWAP_WEBHOOK_SECRET", ""), headers, request.get_body())
    except NotBelievedError as error:
        return func.HttpResponse(str(error), status_code=401)
    try:
        said = wake(Service.of(), WEBHOOK_LIMIT_S)
    except NotWokenError:
        _log.exception("the service was not woken")
        # MLflow tries again.
        return func.HttpResponse("the service was not woken", status_code=502)
    _log.info(said)
    return func.HttpResponse(said, status_code=202)
