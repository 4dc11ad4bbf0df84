"""A promotion under load by the Open Inference Protocol, with bodies that cost much beside it."""

import gzip
import json
import threading
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np

from tools import running_service, watched_service
from tools.mlflow_server import MlflowServer, unique_name

CLIENTS = 4
FACTORS = {"1": 2.0, "2": 3.0}
LENGTH = "inference-header-content-length"
ROWS = 60_000


def _binary(values: "np.ndarray[Any, Any]") -> tuple[bytes, dict[str, str]]:
    data = values.astype("<f8").tobytes()
    sent = {"name": "a", "datatype": "FP64", "shape": [len(values)]}
    document = {
        "inputs": [{**sent, "parameters": {"binary_data_size": len(data)}}],
        "parameters": {"binary_data_output": True},
    }
    written = json.dumps(document).encode()
    return written + data, {LENGTH: str(len(written))}


def _read(answer: httpx.Response) -> tuple[str, "np.ndarray[Any, Any]"]:
    """Return the version that an answer names, and its numbers."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    told = json.loads(answer.content[:length])
    (output,) = told["outputs"]
    data = output["data"] if "data" in output else np.frombuffer(answer.content[length:], "<f8")
    return told["model_version"], np.array(data, "f8")


class _Clients:
    """Clients that ask for one row after another, by binary tensors, each with its own number."""

    def __init__(self, url: str) -> None:
        self.seen: list[list[str]] = [[] for _ in range(CLIENTS)]
        self.wrong: list[str] = []
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(url, at), daemon=True) for at in range(CLIENTS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def have_seen(self, version: str) -> bool:
        """Tell whether each client's last answer was this version's."""
        return all(seen and seen[-1] == version for seen in self.seen)

    def _ask(self, url: str, client: int) -> None:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as caller:
            number = float(client)
            while not self._stopping.is_set():
                number += CLIENTS
                body, headers = _binary(np.array([number]))
                answer = caller.post("/v2/models/default/infer", content=body, headers=headers)
                if answer.status_code != 200:
                    self.wrong.append(answer.text)
                    continue
                version, (found,) = _read(answer)
                if found != number * FACTORS[version]:
                    self.wrong.append(f"{found} for {number} by {version}")
                self.seen[client].append(version)
                self._stopping.wait(0.002)


def test_a_promotion_loses_and_mixes_nothing_and_nothing_holds_the_event_loop(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """Beside it come large tensors, nested, as texts and compressed, and bodies that are wrong."""
    name = unique_name("tensors")
    for factor in FACTORS.values():
        mlflow_server.register_tiny(name, factor)
    mlflow_server.set_alias(name, "champion", 1)
    values = np.arange(ROWS, dtype="f8")
    flat = {"name": "a", "datatype": "FP64", "shape": [ROWS, 1]}
    with running_service.start(
        tmp_path,
        mlflow_server.uri,
        command=("-m", watched_service.__name__),
        models=f"default=models:/{name}@champion",
    ) as service:
        path = "/v2/models/default/infer"
        with _Clients(service.url) as clients:
            service.wait_until(lambda: clients.have_seen("1"), "all clients see version 1")
            mlflow_server.set_alias(name, "champion", 2)
            service.wait_until(lambda: clients.have_seen("2"), "all clients see version 2")
            body, headers = _binary(values)
            bodies = [
                (body, headers),
                (gzip.compress(body), {**headers, "content-encoding": "gzip"}),
                (json.dumps({"inputs": [{**flat, "data": values.tolist()}]}).encode(), {}),
                (json.dumps({"inputs": [{**flat, "data": [[v] for v in values]}]}).encode(), {}),
            ]
            for sent, head in bodies:
                answer = service.client.post(path, content=sent, headers=head)
                version, found = _read(answer)
                assert np.array_equal(found, values * FACTORS[version])
            wrong = [
                (gzip.compress(bytes(200_000_000)), {"content-encoding": "gzip"}),
                (json.dumps({"inputs": [{**flat, "data": [[]] * 500_000}]}).encode(), {}),
                (json.dumps({"inputs": [{**flat, "data": ["x"] * ROWS}]}).encode(), {}),
                (json.dumps({"inputs": [flat] * 20_000}).encode(), {}),
                (b'{"inputs": ' + b"[" * 500_000, {}),
            ]
            for sent, head in wrong:
                assert service.client.post(path, content=sent, headers=head).status_code in {
                    400,
                    413,
                }
            assert service.get(f"{path[:-6]}/versions/1").status_code == 404
        assert clients.wrong == []
        assert service.stop() in {0, -15, 143}
        log = service.log.read_text("utf-8")
    assert watched_service.WORST_GAP in log, "the watch was not on"
    assert watched_service.BLOCKED not in log
