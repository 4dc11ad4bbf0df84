"""Size of a model, from 1 MB to 500 MB: how long a promotion takes, and what it does to memory."""

import json
import urllib.request
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pandas as pd

from bench import asking, contenders, dialects, starting
from bench.ground import Ground
from bench.growth.part import Keep, Part, Point
from tools.processes import peak_pss

_NAME = "ballast"
_ALIAS = "champion"
_SIZES_MB = (1, 5, 20, 50, 100, 250, 500)
_MB = 1_000_000
_STEPS = ("fetch", "load", "gates")
_LIMIT_S = 300
_BODY = json.dumps({"instances": [{"a": 1.0}]}).encode()


def measure(ground: Ground, keep: Keep) -> None:
    """Promote ever larger models, each after the one before has gone."""
    _promote(ground, _registered(ground, 0))
    settings = {
        "MODEL_URI": f"models:/{_NAME}@{_ALIAS}",
        "CACHE_DIR": str(ground.folder / _NAME),
        # Else the version before would still be there, and its memory with it.
        "KEEP_WARM": "false",
    }
    with contenders.HOTSWAP.started(ground, _is_up, **settings) as (url, tree):
        for size_mb in _SIZES_MB:
            version = _registered(ground, size_mb)
            starting.rest(contenders.HOTSWAP, url, tree)
            with peak_pss(tree) as seen:
                _promote(ground, version)
                _reload(url)
            took: dict[str, float] = starting.info(url)["promotions"][0]["durations_s"]
            for step in _STEPS:
                keep(Point("seconds", step, size_mb, took[step]))
            keep(Point("seconds", "all, until it serves", size_mb, sum(took[s] for s in _STEPS)))
            keep(Point("MB (PSS), all processes", "at most, meanwhile", size_mb, max(seen) / _MB))
            starting.rest(contenders.HOTSWAP, url, tree)
            after = tree.pss_bytes() / _MB
            keep(Point("MB (PSS), all processes", "afterwards", size_mb, after))


def _is_up(url: str) -> bool:
    return asking.is_answered(url, dialects.INSTANCES, _BODY)


def _registered(ground: Ground, size_mb: int) -> str:
    """Register a linear model that carries so much with it. Return its version."""
    from sklearn.linear_model import Ridge  # noqa: PLC0415 - slow, and only wanted here

    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    model: Any = Ridge().fit(frame, frame["a"])
    model.ballast_ = np.random.default_rng(size_mb).bytes(size_mb * _MB)
    with ground.server.active() as mlflow:
        return ground.server.register(
            _NAME,
            mlflow.sklearn.log_model,
            sk_model=model,
            signature=mlflow.models.infer_signature(frame, model.predict(frame)),
            input_example=frame.head(1),
            serialization_format="cloudpickle",
        )


def _promote(ground: Ground, version: str) -> None:
    ground.server.set_alias(_NAME, _ALIAS, version)


def _reload(url: str) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    reload = urllib.request.Request(urljoin(url, "/reload-model"), method="POST")  # noqa: S310 - an address of ours
    direct.open(reload, timeout=_LIMIT_S).close()


SIZE = Part("size", "MB of the model", measure)
