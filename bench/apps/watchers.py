"""Many watchers in one process: each polls a registry as the service's registry process does.

    python -m bench.apps.watchers TRACKING_URI MODEL_URI WATCHERS SECONDS

Says `ready` once each has polled for the first time and holds its connection, waits for a line,
and polls: each watcher every 2 s with the service's jitter, for so many seconds; with 0 seconds all
together, once. Prints the milliseconds of each poll that was answered, and how many were not.
"""

import json
import os
import random
import resource
import sys
import threading
import time

_INTERVAL_S = 2.0
_JITTER = 0.1
_TIMEOUT_S = 10.0


def main(tracking_uri: str, model_uri: str, watchers: int, seconds: float) -> None:
    """Poll when told to, and tell how it went."""
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
    # A process of its own has a connection of its own; here threads share a pool.
    os.environ["MLFLOW_HTTP_POOL_MAXSIZE"] = str(watchers)
    from service.core.errors import SourceUnavailableError  # noqa: PLC0415 - after the environment
    from service.core.versions import ModelRef  # noqa: PLC0415 - the same
    from service.registry.inside import client  # noqa: PLC0415 - the same
    from service.registry.inside.resolving import resolve  # noqa: PLC0415 - the same
    from service.registry.messages import ResolveRequest  # noqa: PLC0415 - the same

    client.configure(_TIMEOUT_S)
    request = ResolveRequest(ModelRef.parse(model_uri))
    took_ms: list[float] = []
    failures: list[str] = []
    ready = threading.Barrier(watchers + 1)
    going = threading.Event()

    def poll() -> None:
        began = time.monotonic()
        try:
            resolve(request)
        except SourceUnavailableError as error:
            failures.append(str(error))
        else:
            took_ms.append((time.monotonic() - began) * 1000)

    def watch() -> None:
        poll()
        ready.wait()
        going.wait()
        if not seconds:
            poll()
            return
        until = time.monotonic() + seconds
        # They were not all started at the same moment.
        time.sleep(random.uniform(0, _INTERVAL_S))  # noqa: S311 - a jitter is no secret
        while time.monotonic() < until:
            poll()
            jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - the same
            time.sleep(_INTERVAL_S * jitter)

    threads = [threading.Thread(target=watch) for _ in range(watchers)]
    for thread in threads:
        thread.start()
        # One after another: this is not what is measured.
        time.sleep(0.01)
    ready.wait()
    took_ms.clear()
    failures.clear()
    before_s = _cpu_s()
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    going.set()
    for thread in threads:
        thread.join()
    told = {
        "took_ms": took_ms,
        "failures": failures,
        "cpu_s": _cpu_s() - before_s,
        "seconds": time.monotonic() - began,
    }
    print(json.dumps(told), flush=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
