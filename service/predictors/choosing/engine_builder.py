"""Build every engine for one model: first the steps that are right for it, then what follows."""

import functools
import time
from operator import itemgetter
from pathlib import Path

import numpy as np

from service.contracts.contract import Call, Predictions
from service.contracts.merge import take
from service.predictors.choosing.sizes import sized
from service.predictors.choosing.thresholds import MOST_ROWS, call_rows, feature_rows, thresholds_of
from service.predictors.engines import catalog
from service.predictors.engines.answers import answering
from service.predictors.engines.catalog import engine_of, steps_of, whole_engine_of
from service.predictors.engines.compiled import CompiledPredictor, in_turn
from service.predictors.engines.engine import Array, BeyondError, Estimate, SkippedError, Transform
from service.predictors.engines.frames import unnamed
from service.predictors.engines.model_parts import ModelParts
from service.predictors.engines.native import NativePredictor
from service.predictors.engines.own_steps import OwnSteps
from service.predictors.opening import open_engine, place_of
from service.predictors.predictor import Predictor
from service.predictors.report import REFUSED, SKIPPED, VERIFIED, Outcome
from service.predictors.tolerance import difference

_SEED = 7
_STEP_SIZES = (1, 512)
_STEP_RUNS = 20
_FIRST_THRESHOLD_ROWS = 1_000
"""So many rows near thresholds are tried while a version waits; more with the slower engines."""
MOST_FEATURES = 5_000
"""A model of more features is not tried: sparse ones, as of words, would be dense here."""


class EngineBuilder:
    """Builds engines for one model, in a folder that gets one for each."""

    def __init__(
        self,
        parts: ModelParts,
        rows: Call,
        folder: Path,
        threads: int,
        *,
        first: bool = False,
        most_features: int = MOST_FEATURES,
    ) -> None:
        """`rows` are many, and such as the model answers; `first` is for the quick ones."""
        self._is_first = first
        self._most_features = most_features
        self._threshold_rows = _FIRST_THRESHOLD_ROWS if first else MOST_ROWS
        self._own = [] if first else [NativePredictor.name]
        self._engines = (
            catalog.FIRST_ENGINES if first else (*catalog.ENGINES, *catalog.WHOLE_ENGINES)
        )
        self._all_steps = catalog.FIRST_STEPS if first else tuple(catalog.STEPS)
        self._parts = parts
        self._folder = folder
        self._threads = threads
        self._rng = np.random.default_rng(_SEED)
        self._usual = rows
        self._thresholds = thresholds_of(parts.estimator)
        self.tried: list[Outcome] = []
        """The outcome of each engine for the steps."""
        self.steps = ""
        """The fastest steps that are right, '' where none are."""
        self._transform: Transform | None = None
        self._matrix: Array | None = None
        self._estimates: dict[str, Estimate] = {}
        """The estimators that were made, which stand behind the steps."""
        self._choose_steps()

    def names(self) -> list[str]:
        """Name every engine, in the order in which they are preferred where they are as fast."""
        return [*self._own, *self._engines]

    def make(self, name: str) -> Predictor:
        """Build an engine. Raise SkippedError, and whatever a converter raises."""
        if name in self._own:
            return NativePredictor(self._parts)
        folder = _new_place(self._folder, name)
        if name in catalog.WHOLE_ENGINES:
            whole_engine_of(name).convert(self._parts, folder)
            return open_engine(name, self._parts, self._folder, self._threads, self.steps)
        engine = engine_of(name)
        engine.convert(self._parts, folder)
        if self._transform is None:
            raise SkippedError("none of the engines for the steps before its estimator is right")
        estimate = engine.open(self._parts, folder, self._threads)
        self._estimates[name] = estimate
        return CompiledPredictor(name, self._parts.contract, in_turn(self._transform, estimate))

    def threshold_calls(self) -> list[Call]:
        """Return rows near the thresholds of its trees, as far as these lead back to columns."""
        if self._transform is None:
            return []
        contract = self._parts.contract
        return call_rows(
            self._thresholds,
            contract,
            self._transform,
            self._usual,
            self._rng,
            self._threshold_rows,
        )

    def wrong_near_thresholds(self, name: str, rtol: float) -> str:
        """Say where an engine that was made is wrong at its trees' thresholds, '' where nowhere.

        Compared at the estimator's own input, since not each of its features can be turned back
        into a column.
        """
        if name not in self._estimates or self._near is None:
            return ""
        rows, wanted = self._near
        try:
            found = answering(self._parts.contract)(self._estimates[name](rows), len(rows))
        except BeyondError:
            return ""
        differing = difference(wanted, found, rtol)
        if differing is None:
            return ""
        return f"near a threshold {differing.text} for the features {rows[differing.row].tolist()}"

    @functools.cached_property
    def _near(self) -> tuple[Array, Predictions] | None:
        """Features near thresholds, and what the estimator itself answers; None without any."""
        if self._matrix is None or not self._thresholds:
            return None
        parts = self._parts
        rows = feature_rows(self._thresholds, self._matrix, self._rng, self._threshold_rows)
        itself = getattr(unnamed(parts.estimator), parts.method)
        return rows, answering(parts.contract)(itself(rows), len(rows))

    def _choose_steps(self) -> None:
        """Find the fastest engine for the steps that gives the very bits of the model's own."""
        wanted = None
        if self._parts.steps:
            itself = OwnSteps().open(self._parts, self._folder, self._threads)
            width = itself(take(self._usual, [0])).shape[1]
            if width > self._most_features:
                reason = f"{width} features are too many to be laid out for each row"
                self.tried += [Outcome(name, SKIPPED, reason) for name in self._all_steps]
                return
            wanted = itself(self._usual)
        right: list[tuple[float, str, Transform, Array]] = []
        for name in self._all_steps:
            folder = _new_place(self._folder, name)
            try:
                steps = steps_of(name)
                steps.convert(self._parts, folder)
                transform = steps.open(self._parts, folder, self._threads)
                found = transform(self._usual)
            except Exception as error:  # noqa: BLE001 - a converter may raise anything
                self.tried.append(Outcome(name, SKIPPED, why(error)))
                continue
            if wanted is not None and not _same_bits(wanted, found):
                self.tried.append(Outcome(name, REFUSED, "it gives other features"))
                continue
            if self._is_first:
                # The first that is right: to time them takes longer than to try them.
                self.tried.append(Outcome(name, VERIFIED, ""))
                self.steps, self._transform, self._matrix = name, transform, found
                return
            ms = {rows: _best_ms(transform, sized(self._usual, rows)) for rows in _STEP_SIZES}
            self.tried.append(Outcome(name, VERIFIED, "", ms=ms))
            right.append((ms[1], name, transform, found))
        if right:
            # A few rows decide: beside many, the estimator takes far longer.
            _, self.steps, self._transform, self._matrix = min(right, key=itemgetter(0))


def why(error: Exception) -> str:
    """Return a skipped engine's own reason, or what a converter raised."""
    if isinstance(error, SkippedError):
        return str(error)
    # Converters explain themselves at length: the first sentence says what is missing.
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}"[:300]


def _best_ms(transform: Transform, call: Call) -> float:
    took = []
    for _ in range(_STEP_RUNS):
        began = time.perf_counter()
        transform(call)
        took.append(time.perf_counter() - began)
    return round(min(took) * 1000, 4)


def _new_place(folder: Path, name: str) -> Path:
    place = place_of(folder, name)
    place.mkdir(exist_ok=True)
    return place


def _same_bits(wanted: Array, found: Array) -> bool:
    if wanted.shape != found.shape:
        return False
    if wanted.dtype.kind not in "biuf" or found.dtype.kind not in "biuf":
        return bool((wanted == found).all())
    return bool(np.array_equal(wanted, found, equal_nan=True))
