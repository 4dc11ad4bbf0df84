"""Whether a model can answer, why not, and what is not as it should be although it can."""

from collections.abc import Mapping

import msgspec

from service.deployment import Deployment
from service.deployments import Deployments

NOT_TOLD = "the service can't answer for every model that it has to"
"""What is said of the reason to a caller that may not know of each model."""


class Readiness(msgspec.Struct, frozen=True):
    """`error` is '' where it can answer, `degraded` '' where all is as it should be."""

    version: str | None
    error: str
    degraded: str


def readiness_of(deployment: Deployment) -> Readiness:
    """Look at one deployment."""
    model = deployment.routes.current
    if model is None:
        return Readiness(None, deployment.why_not, "")
    if deployment.can_answer:
        return Readiness(model.version.version, "", _degraded(deployment))
    error = "no worker of the serving version answers"
    if model.pool.trouble:
        error += f", and none can be started: {model.pool.trouble}"
    return Readiness(model.version.version, error, "")


def why_not_ready(deployments: Deployments, known: Mapping[str, Readiness]) -> str:
    """Say why the service as a whole is not ready, '' where it is."""
    if deployments.draining:
        return "the service is ending"
    red = {name: one.error for name, one in known.items() if one.error}
    default = deployments.find("")
    if deployments.settings.service.ready_when == "all":
        wanted = red
    elif default is not None:
        wanted = {name: error for name, error in red.items() if name == default.name}
    else:
        wanted = red if len(red) == len(known) else {}
    if len(known) == 1:
        return next(iter(wanted.values()), "")
    return "; ".join(f"{name}: {error}" for name, error in wanted.items())


def _degraded(deployment: Deployment) -> str:
    """Say all that is not as it should be, '' where everything is."""
    model, status = deployment.routes.current, deployment.status
    assert model is not None  # noqa: S101 - asked for what serves
    is_wanted = model.version == status.wanted
    not_served = "" if is_wanted else status.why_not(deployment.ref.uri)
    stuck = f"a worker can't be started: {model.pool.trouble}" if model.pool.trouble else ""
    over = f"a worker was ended: {model.pool.over_limit}" if model.pool.over_limit else ""
    troubles = (over, *status.troubles, deployment.journal.trouble, deployment.change)
    return "; ".join(filter(None, (status.held or not_served, stuck, *troubles)))
