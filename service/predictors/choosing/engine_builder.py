"""Everything that is tried on one model: the steps that are right for it, the ways, the probes."""

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
from service.predictors.engines.catalog import recipe_of, steps_of, whole_of
from service.predictors.engines.compiled import CompiledPredictor, in_turn
from service.predictors.engines.engine import Array, BeyondError, Estimate, SkippedError, Transform
from service.predictors.engines.frames import unnamed
from service.predictors.engines.model_parts import Anatomy
from service.predictors.engines.native import NativePredictor
from service.predictors.engines.own_steps import OwnSteps
from service.predictors.opening import place_of, way
from service.predictors.predictor import Predictor
from service.predictors.report import ADMITTED, REFUSED, SKIPPED, Outcome
from service.predictors.tolerance import difference

_SEED = 7
_STEP_SIZES = (1, 512)
_STEP_RUNS = 20
_FIRST_THRESHOLD_ROWS = 1_000
"""Where every row is waited for; the rest are tried when all ways are."""
_MOST_FEATURES = 5_000
"""What is sparse to the model, as words are, is not here."""


class Workshop:
    """Tries ways on one model, in a folder that gets one for each."""

    def __init__(
        self, anatomy: Anatomy, rows: Call, folder: Path, threads: int, *, first: bool = False
    ) -> None:
        """`rows` are many, and such as the model answers; `first` is for what is ready at once."""
        self._is_first = first
        self._threshold_rows = _FIRST_THRESHOLD_ROWS if first else MOST_ROWS
        self._own = [] if first else [NativePredictor.name]
        self._ways = catalog.FIRST_RECIPES if first else (*catalog.RECIPES, *catalog.WHOLES)
        self._all_steps = catalog.FIRST_STEPS if first else tuple(catalog.STEPS)
        self._anatomy = anatomy
        self._folder = folder
        self._threads = threads
        self._rng = np.random.default_rng(_SEED)
        self._usual = rows
        self._thresholds = thresholds_of(anatomy.estimator)
        self.tried: list[Outcome] = []
        """What came of each way to do the steps."""
        self.steps = ""
        """The fastest that is right, '' where none is."""
        self._transform: Transform | None = None
        self._matrix: Array | None = None
        self._estimates: dict[str, Estimate] = {}
        """The ways that were made, as far as they stand behind the steps."""
        self._choose_steps()

    def names(self) -> list[str]:
        """Name every way, in the order in which they are preferred where they are as fast."""
        return [*self._own, *self._ways]

    def make(self, name: str) -> Predictor:
        """Convert the model in this way. Raise SkippedError, and whatever a converter raises."""
        if name in self._own:
            return NativePredictor(self._anatomy)
        folder = _new_place(self._folder, name)
        if name in catalog.WHOLES:
            whole_of(name).convert(self._anatomy, folder)
            return way(name, self._anatomy, self._folder, self._threads, self.steps)
        recipe = recipe_of(name)
        recipe.convert(self._anatomy, folder)
        if self._transform is None:
            raise SkippedError("no way to do the steps before its estimator is right")
        estimate = recipe.open(self._anatomy, folder, self._threads)
        self._estimates[name] = estimate
        return CompiledPredictor(name, self._anatomy.contract, in_turn(self._transform, estimate))

    def threshold_calls(self) -> list[Call]:
        """Return rows near the thresholds of its trees, as far as these lead back to columns."""
        if self._transform is None:
            return []
        contract = self._anatomy.contract
        return call_rows(
            self._thresholds,
            contract,
            self._transform,
            self._usual,
            self._rng,
            self._threshold_rows,
        )

    def wrong_near_thresholds(self, name: str, rtol: float) -> str:
        """Say where a way that was made is wrong at its trees' thresholds, '' where nowhere.

        Compared at the estimator's own input, since not each of its features can be turned back
        into a column.
        """
        if name not in self._estimates or self._near is None:
            return ""
        rows, wanted = self._near
        try:
            found = answering(self._anatomy.contract)(self._estimates[name](rows), len(rows))
        except BeyondError:
            return ""
        unlike = difference(wanted, found, rtol)
        if unlike is None:
            return ""
        return f"near a threshold {unlike.text} for the features {rows[unlike.row].tolist()}"

    @functools.cached_property
    def _near(self) -> tuple[Array, Predictions] | None:
        """Features near thresholds, and what the estimator itself answers; None without any."""
        if self._matrix is None or not self._thresholds:
            return None
        anatomy = self._anatomy
        rows = feature_rows(self._thresholds, self._matrix, self._rng, self._threshold_rows)
        itself = getattr(unnamed(anatomy.estimator), anatomy.method)
        return rows, answering(anatomy.contract)(itself(rows), len(rows))

    def _choose_steps(self) -> None:
        """Find the fastest way to do the steps that gives the very bits of the model's own."""
        wanted = None
        if self._anatomy.steps:
            itself = OwnSteps().open(self._anatomy, self._folder, self._threads)
            width = itself(take(self._usual, [0])).shape[1]
            if width > _MOST_FEATURES:
                reason = f"{width} features are too many to be laid out for each row"
                self.tried += [Outcome(name, SKIPPED, reason) for name in self._all_steps]
                return
            wanted = itself(self._usual)
        right: list[tuple[float, str, Transform, Array]] = []
        for name in self._all_steps:
            folder = _new_place(self._folder, name)
            try:
                steps = steps_of(name)
                steps.convert(self._anatomy, folder)
                transform = steps.open(self._anatomy, folder, self._threads)
                found = transform(self._usual)
            except Exception as error:  # noqa: BLE001 - a converter may raise anything
                self.tried.append(Outcome(name, SKIPPED, why(error)))
                continue
            if wanted is not None and not _same_bits(wanted, found):
                self.tried.append(Outcome(name, REFUSED, "it gives other features"))
                continue
            if self._is_first:
                # The first that is right: to time them takes longer than to try them.
                self.tried.append(Outcome(name, ADMITTED, ""))
                self.steps, self._transform, self._matrix = name, transform, found
                return
            ms = {rows: _best_ms(transform, sized(self._usual, rows)) for rows in _STEP_SIZES}
            self.tried.append(Outcome(name, ADMITTED, "", ms=ms))
            right.append((ms[1], name, transform, found))
        if right:
            # A few rows decide: beside many, the estimator takes far longer.
            _, self.steps, self._transform, self._matrix = min(right, key=itemgetter(0))


def why(error: Exception) -> str:
    """Return a skipped way's own reason, or what a converter raised."""
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
