"""How long a promotion takes to be live, under load, and what it does to the requests meanwhile.

    python -m bench.promotion [--promotions 10] [--clients 4] [--pause 2] [--webhook]
                              [--environment shared|auto|own]

Starts an MLflow server and the service on this machine, registers two versions of the forest that
the demo trains, and moves the alias back and forth. Prints, for each promotion, the seconds of each
step as the journal has them, beside those from the alias's move to the first answer by the new
version; and over all, what that takes more than the load, failed requests, and the worst gap in the
event loop's heartbeat. After the version before is gone the next promotion waits for --pause
seconds, in which a standby worker is started. With --webhook MLflow tells of each promotion, and
the poll interval is an hour. With --environment own the two versions get an environment of their
own, which is built of what uv finds for their requirements; they have the same lock. Its column is
the whole of that step, or the gate where the service's own environment is shared.

Counted is everything from the moment before the call that moves the alias: that call, noticing it
(a poll, or MLflow's delivery), asking the registry, finding and checking the version in the store,
every gate, the swap, and the first answer, for which a client waits behind requests of the version
before. Taken off is the load gate's own duration (the start of a worker, and the model's load in
it), and, printed apart, fetching a version that the store has not yet: that is the network's.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from service.commands.demo import model as forest
from tools import mlflow_server, running_service, watched_service
from tools.load import Hammer
from tools.running_service import RunningService

POLL_INTERVAL_S = 2.0
HOOKED_POLL_INTERVAL_S = 3600.0
GATES = ("artifacts", "environment", "load", "contract", "smoke", "speed")
SECRET = "of-this-run-alone"  # noqa: S105 - what it says


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--promotions", type=int, default=10)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--pause", type=float, default=2.0)
    parser.add_argument("--webhook", action="store_true")
    parser.add_argument("--environment", choices=("shared", "auto", "own"), default="shared")
    chosen = parser.parse_args()
    if chosen.webhook:
        os.environ["MLFLOW_WEBHOOK_ALLOWED_SCHEMES"] = "http,https"
        os.environ["MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        server = mlflow_server.start(Path(folder) / "mlflow")
        try:
            _measure(server, Path(folder) / "service", chosen)
        finally:
            server.stop()


def _measure(server: mlflow_server.MlflowServer, folder: Path, chosen: argparse.Namespace) -> None:
    port = mlflow_server.free_port()
    poll_interval_s = HOOKED_POLL_INTERVAL_S if chosen.webhook else POLL_INTERVAL_S
    if chosen.webhook:
        # Before the server's first event: it caches the subscriptions.
        with server.active():
            url = f"http://127.0.0.1:{port}/webhooks/mlflow"
            events = ["model_version_alias.created"]
            server.client.create_webhook("hotswap", url, events, secret=SECRET)
    for months in (9, 24):
        pipeline, inputs, _ = forest.train(months=months)
        version = forest.register(server.uri, pipeline, inputs)
        if version == "1":
            server.set_alias(forest.NAME, forest.ALIAS, version)
    row: dict[str, Any] = json.loads(inputs.head(1).to_json(orient="records"))[0]
    with running_service.start(
        folder,
        server.uri,
        command=("-m", watched_service.__name__, watched_service.ONLY_BEAT),
        model_uri=f"models:/{forest.NAME}@{forest.ALIAS}",
        port=port,
        poll_interval_s=poll_interval_s,
        environment=chosen.environment,
        # Else the version to go back to would still be warm, and nothing be loaded.
        keep_warm=False,
        webhook_secret=SECRET if chosen.webhook else "",
    ) as service:
        heads = ("noticed", "fetch", *GATES, "live", "less")
        print(" ".join(f"{head:>11}" for head in heads), " (seconds; less: load and download)")
        with Hammer(
            service.url, chosen.clients, instance=lambda _: row, output=forest.OUTPUTS[0]
        ) as hammer:
            noticing = [
                _promote(
                    *(server, service, hammer, str(2 - number % 2), chosen.pause),
                    is_new=not number,
                )
                for number in range(chosen.promotions)
            ]
        print(
            f"\nlive less load and download: median {statistics.median(noticing):.2f} s, "
            f"{min(noticing):.2f} to {max(noticing):.2f} s, at a poll interval of "
            f"{poll_interval_s:g} s"
        )
        print(f"requests: {len(hammer.all)}, failed: {len(hammer.failed)}")
        gaps = [
            e["gap_ms"] for e in service.events() if e.get("event") == watched_service.WORST_GAP
        ]
        print(f"worst gap of the event loop: {max(gaps):.1f} ms")


def _promote(
    server: mlflow_server.MlflowServer,
    service: RunningService,
    hammer: Hammer,
    version: str,
    pause_s: float,
    *,
    is_new: bool,
) -> float:
    """Move the alias after a pause, wait for the first answer; return the seconds that count.

    A new version is one that the store has not: it is downloaded.
    """
    time.sleep(pause_s)
    began = time.monotonic()
    server.set_alias(forest.NAME, forest.ALIAS, version)
    while not any(seen[-1].version == version for seen in hammer.seen if seen):
        time.sleep(0.005)
    live_s = time.monotonic() - began
    promotion: dict[str, Any] = service.info()["promotions"][0]
    took = {verdict["gate"]: verdict["duration_s"] for verdict in promotion["verdicts"]}
    fetch_s: float = promotion["durations_s"]["fetch"]
    noticed_s = live_s - fetch_s - sum(took.values())
    counted_s: float = live_s - took["load"] - (fetch_s if is_new else 0.0)
    steps = (noticed_s, fetch_s, *(took[gate] for gate in GATES), live_s, counted_s)
    print(" ".join(f"{step:11.3f}" for step in steps), " downloaded" * is_new)
    service.wait_until(
        lambda: all(v["state"] in {"ready", "unloaded"} for v in service.info()["versions"]),
        "the version before is gone",
    )
    return counted_s


if __name__ == "__main__":
    main()
