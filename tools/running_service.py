"""A real service process for tests: started as users start it, watched from outside.

`start(...)` gives a RunningService, which is also a context manager; everything waits for a state
under a limit, and what the service logged is in the error where a state does not come.
"""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from tools.mlflow_server import free_port

START_TIMEOUT_S = 100.0
STATE_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.05
_STARTS = frozenset({"child started", "standby worker used"})
_AT_REST = frozenset({"ready", "unloaded", "failed"})
_ROOT = Path(__file__).resolve().parents[1]
_SETTINGS = ("MODEL_", "MLFLOW_", "ADMIN_")


@dataclass
class RunningService:
    """One service process on loopback; `log` is the file of its stderr, a JSON line an event."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.Client
    cache_dir: Path
    _events: list[dict[str, Any]] = field(default_factory=list, repr=False)
    _read_bytes: int = 0
    _reading: threading.Lock = field(default_factory=threading.Lock, repr=False)

    # -- talking to it ---------------------------------------------------------------------------

    def get(self, path: str) -> httpx.Response:
        """Call with GET."""
        return self.client.get(path)

    def post(self, path: str, body: object = None, **arguments: Any) -> httpx.Response:
        """Call with POST; a body that is not bytes is sent as JSON."""
        if body is None or isinstance(body, bytes):
            headers = {"content-type": "application/json", **arguments.pop("headers", {})}
            return self.client.post(path, content=body or b"", headers=headers, **arguments)
        return self.client.post(path, json=body, **arguments)

    def predict(self, *instances: object, **more: object) -> httpx.Response:
        """Ask for predictions."""
        return self.post("/predict", {"instances": list(instances), **more})

    def hotswap(self, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run the command beside the service, with its port and these settings."""
        chosen = {"port": self.url.rpartition(":")[2], **settings}
        return subprocess.run(
            [sys.executable, "-m", "service", *arguments],
            env={**os.environ, **{key.upper(): str(value) for key, value in chosen.items()}},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def info(self) -> dict[str, Any]:
        """Return `/model/info`."""
        answer: dict[str, Any] = self.get("/model/info").raise_for_status().json()
        return answer

    def events(self) -> list[dict[str, Any]]:
        """Return what it has logged so far; lines that are no JSON as `{"raw": line}`.

        Only what is new is read: some tests ask this many times a second.
        """
        with self._reading, self.log.open("rb") as log:
            log.seek(self._read_bytes)
            whole, end, _ = log.read().rpartition(b"\n")
            self._read_bytes += len(whole + end)
            for line in whole.decode("utf-8", "replace").splitlines():
                try:
                    self._events.append(json.loads(line))
                except ValueError:
                    self._events.append({"raw": line})
            return list(self._events)

    def knows_good(self) -> bool:
        """Whether some pointer's last known good version is noted in its CACHE_DIR."""
        return any(
            json.loads(file.read_text())["state"]["good"]
            for file in (self.cache_dir / "needs").glob("*.json")
        )

    # -- waiting ---------------------------------------------------------------------------------

    def wait_until(
        self, is_so: Callable[[], object], what: str, timeout_s: float = STATE_TIMEOUT_S
    ) -> None:
        """Wait for a state; a refused or broken connection means 'not yet'."""
        deadline = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(httpx.TransportError):
                if is_so():
                    return
            ended = self.process.poll()
            if ended is not None or time.monotonic() > deadline:
                said = self.log.read_text("utf-8", "replace")[-6000:]
                why = f"within {timeout_s} s" if ended is None else f"before it ended with {ended}"
                raise AssertionError(f"not {why}: {what}; the service said:\n{said}")
            time.sleep(_POLL_S)

    def wait_healthy(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until a version can answer."""
        self.wait_until(lambda: self.get("/health").status_code == 200, "healthy", timeout_s)

    def wait_serving(self, version: str | int, timeout_s: float = STATE_TIMEOUT_S) -> None:
        """Wait until a version serves."""
        self.wait_until(
            lambda: self.get("/health").json().get("model_version") == str(version),
            f"version {version} serves",
            timeout_s,
        )

    def await_standby(self, *, other_than: int | None = None) -> int:
        """Wait until a worker stands by, and return its process id."""
        seen: list[int] = []

        def stands_by() -> bool:
            seen[:] = self.standby_pids()
            return seen not in ([], [other_than])

        self.wait_until(stands_by, "a worker stands by")
        return seen[0]

    # -- its processes ---------------------------------------------------------------------------

    def children(self) -> list[psutil.Process]:
        """Return every process that it has: fork server, resource tracker, registry's, workers.

        By its session, where there is such a thing: a child outlives the fork server that made it.
        """
        if sys.platform == "win32":
            with contextlib.suppress(psutil.NoSuchProcess):
                return psutil.Process(self.process.pid).children(recursive=True)
            return []
        children = []
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                if pid != self.process.pid and os.getsid(pid) == self.process.pid:
                    child = psutil.Process(pid)
                    if child.status() != psutil.STATUS_ZOMBIE:
                        children.append(child)
        return children

    def family(self) -> list[psutil.Process]:
        """Return it and every process below it."""
        return [psutil.Process(self.process.pid), *self.children()]

    def starts(self, child: str) -> list[dict[str, Any]]:
        """Return the log's lines on each start of a child whose name begins so, oldest first.

        A standby worker is logged twice: when it is started, and under its new name when it is
        used.
        """
        return [
            event
            for event in self.events()
            if event.get("event") in _STARTS and event["child"].startswith(child)
        ]

    def started_pids(self, child: str) -> list[int]:
        """Return the process ids of every child whose name begins so, by the log of its start."""
        return [event["pid"] for event in self.starts(child)]

    def standby_pids(self) -> list[int]:
        """Return the process id of the worker that stands by, if one does, by the log."""
        standby = set(self.started_pids("standby-worker")) - set(self.started_pids("worker-"))
        return [child.pid for child in self.children() if child.pid in standby]

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers of the serving version."""
        pids: list[int] = self.info()["serving"]["pool"]["pids"]
        return pids

    def is_at_rest(self) -> bool:
        """Tell whether all workers are there, one stands by, and nothing loads or is compiled."""
        info = self.info()
        pids = {child.pid for child in self.children()}
        return (
            all(version["state"] in _AT_REST for version in info["versions"])
            and pids.issuperset(info["serving"]["pool"]["pids"])
            and len(info["serving"]["pool"]["pids"]) == info["serving"]["pool"]["workers"]
            and pids.isdisjoint(self.started_pids("compiler"))
            # A version in an environment of its own has no use for one.
            and (bool(self.standby_pids()) or not info["serving"]["environment"]["shared"])
        )

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """End it as an operator would, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        finally:
            self._end_whatever_is_left()
            self.client.close()

    def _end_whatever_is_left(self) -> None:
        for child in self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    folder: Path,
    tracking_uri: str,
    *,
    wait: bool = True,
    port: int | None = None,
    command: tuple[str, ...] = ("-m", "service", "serve"),
    trusted: ssl.SSLContext | None = None,
    **settings: object,
) -> RunningService:
    """Start `python -m service serve` with these settings (lower case names) below `folder`.

    Polls every 0.2 s unless told otherwise; `wait=False` returns before it is healthy. It is called
    by https where `trusted` says by which authority.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_SETTINGS)}
    defaults = {"poll_interval_s": 0.2, "cache_dir": folder / "cache", "log_format": "json"}
    chosen = {**defaults, "mlflow_tracking_uri": tracking_uri, "port": port, **settings}
    environment.update({key.upper(): str(value) for key, value in chosen.items()})
    environment["PYTHONPATH"] = str(_ROOT)
    log = folder / "service.log"
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"{'http' if trusted is None else 'https'}://127.0.0.1:{port}"
    # Without trust_env: a proxy of this machine's has no business on loopback.
    client = httpx.Client(
        base_url=url, timeout=60, trust_env=False, verify=True if trusted is None else trusted
    )
    service = RunningService(url, process, log, client, Path(str(chosen["cache_dir"])))
    if wait:
        try:
            service.wait_healthy()
        except BaseException:
            service.stop()
            raise
    return service
