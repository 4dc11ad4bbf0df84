"""How a deployment stands at a moment, for metrics."""

from service.core.states import State
from service.deployment import Deployment
from service.serving.model import LoadedModel
from service.telemetry.metrics.gauges import ModelGauges, ServingGauges

_OVER = frozenset({State.UNLOADED, State.FAILED})


def gauges_of(deployment: Deployment) -> ModelGauges:
    """Look at one deployment."""
    status, model = deployment.status, deployment.routes.current
    promoted, pin = status.registry.promoted, status.pin
    waiting = status.waiting
    live = {known.version.version for known in status.versions if known.state not in _OVER}
    if model is not None:
        live.add(model.version.version)
    return ModelGauges(
        name=deployment.name,
        ready=deployment.can_answer,
        promoted=None if promoted is None else promoted.version,
        pinned=None if pin is None else pin.version,
        # Where it can't move, nobody looks again.
        registry_age_s=None if deployment.ref.immutable else status.registry.age_s,
        failed_passes=status.passes_failed,
        serving=None if model is None else _of_serving(model),
        live=frozenset(live),
        builds=waiting is not None and waiting.progress is not None,
        waiting_s=0.0 if waiting is None else waiting.age_s,
    )


def _of_serving(model: LoadedModel) -> ServingGauges:
    return ServingGauges(
        version=model.version.version,
        digest=model.stored.digest,
        run_id=model.version.run_id,
        python=model.loaded.python_version,
        predictor=str(model.compiling.state),
        pending=model.batcher.waiting,
        unanswered=model.batcher.unanswered,
        workers_wanted=model.pool.settings.workers,
        workers=model.pool.states,
    )
