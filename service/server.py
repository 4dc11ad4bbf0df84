"""`hotswap serve`: one process, one event loop, one listening socket."""

import math

import structlog
import uvicorn

from service.app import create_app
from service.listening import listen, url_of
from service.settings import Settings

_KEEP_ALIVE_S = 75
"""Longer than load balancers keep idle connections, so that they close first and lose nothing."""


def serve(settings: Settings) -> int:
    """Serve until a signal ends it. Return the exit status.

    Raises:
        ListenError: the port is taken, or the address is none of ours.
        SettingsError: a setting does not fit the others.
    """
    with listen(settings.host, settings.port) as listener:
        log = structlog.get_logger(__name__)
        # From here on callers can connect; they are answered as soon as the loop runs.
        log.info("listening", url=url_of(listener))
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(settings),
                http="httptools",
                ws="none",
                lifespan="on",
                workers=1,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=math.ceil(settings.drain_timeout_s),
            )
        )
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            # Raised after the drain: uvicorn passes a signal on once it has done its part.
            return 130
        return 0 if server.started else 1
