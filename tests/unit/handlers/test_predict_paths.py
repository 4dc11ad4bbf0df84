"""Which protocol, model and version a path asks for predictions."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest

from service.handlers.predict_paths import PredictPaths


class Spoken(NamedTuple):
    """A protocol that is known by its name."""

    called: str
    paths: Sequence[str]


ROWS = Spoken("rows", ("/predict", "/models/{name:str}/predict"))
SCORING = Spoken("scoring", ("/invocations", "/models/{name:str}/invocations"))
TENSORS = Spoken(
    "tensors",
    (
        "/v2/models/{name:str}/infer",
        "/v2/models/{name:str}/versions/{version:str}/infer",
    ),
)
PATHS = PredictPaths((ROWS, SCORING, TENSORS))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/predict", ("rows", "", "")),
        ("/models/a b/predict", ("rows", "a b", "")),
        ("/models/größe@1/predict", ("rows", "größe@1", "")),
        ("/models/predict/predict", ("rows", "predict", "")),
        ("/invocations", ("scoring", "", "")),
        ("/models/m/invocations", ("scoring", "m", "")),
        ("/v2/models/m/infer", ("tensors", "m", "")),
        ("/v2/models/m/versions/7/infer", ("tensors", "m", "7")),
        ("/v2/models/versions/versions/infer/infer", ("tensors", "versions", "infer")),
    ],
)
def test_a_path_names_a_protocol_and_may_name_more(path: str, expected: tuple[str, ...]) -> None:
    """A model's name may be any segment."""
    asked = PATHS.find(path)
    assert asked is not None
    assert (asked.protocol.called, asked.name, asked.version) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "predict",
        "/predict/",
        "/predict/predict",
        "/models//predict",
        "/models/a/b/predict",
        "/models/m/info",
        "/Predict",
        "/v1/models/m/infer",
        "/v2/models//infer",
        "/v2/models/m/version/7/infer",
        "/v2/models/m/versions//infer",
        "/v2/models/m/versions/7/8/infer",
    ],
)
def test_every_other_path_is_the_frameworks(path: str) -> None:
    """A trailing slash, an empty name, and names with a slash, too."""
    assert PATHS.find(path) is None
