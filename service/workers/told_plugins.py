"""What a process in another environment is told of contracts that the operator has installed."""

import anyio.to_thread

from service.contracts.plugins import places_of
from service.core.environments import Environment


async def plugins_for(name: str, environment: Environment) -> tuple[str, ...] | None:
    """Return the places of those for a registered model; None where it finds them itself.

    They are imported there: one of ours by its path, another's where the environment has it.
    """
    if environment.is_shared:
        return None
    return await anyio.to_thread.run_sync(places_of, name)
