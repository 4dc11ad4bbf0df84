"""Rows in a body, from 1 to 100,000, as JSON and as Arrow."""

import time

from bench import contenders, dialects, starting
from bench.dialects import Dialect
from bench.ground import Ground
from bench.growth.calls import p50_ms, p50_ms_of
from bench.growth.part import Keep, Part, Point
from bench.loads import Bodies
from bench.rows import frame_of
from tools.processes import BrokenError

_SIZES = (1, 10, 100, 1_000, 10_000, 100_000)
_FORMS = {"JSON": dialects.INSTANCES, "Arrow": dialects.ARROW_STREAM}
_MS = "milliseconds a request"
_US = "microseconds a row"
# A hundred thousand rows of JSON are 34 MB.
_MAX_BODY_BYTES = 64 * 2**20
_FORGOTTEN_S = 1.2
"""Within a second of small requests a large body is answered in chunks, to let them in between."""


def measure(ground: Ground, keep: Keep) -> None:
    """Ask ours for ever more rows; and the raw model, for comparison."""
    model = ground.load()
    raw = model.get_raw_model()
    for rows in _SIZES:
        _keep(keep, "the raw model", rows, p50_ms_of(raw.predict, frame_of(rows)))
    bodies = Bodies(ground.folder / "growing", model)
    settings = {"MAX_BODY_BYTES": str(_MAX_BODY_BYTES)}
    for contender in contenders.OURS:
        with starting.rested(contender, ground, bodies, **settings) as (url, _):
            for name, form in _FORMS.items():
                _grow(f"{contender.title}, {name}", url, form, bodies, keep)


def _grow(series: str, url: str, form: Dialect, bodies: Bodies, keep: Keep) -> None:
    for rows in _SIZES:
        body = bodies.of(form, rows)[0].read_bytes()
        time.sleep(_FORGOTTEN_S)
        try:
            _keep(keep, series, rows, p50_ms(url, form, body))
        except BrokenError as error:
            print(f"  {series}, {rows:,} rows: {error}", flush=True)
            return


def _keep(keep: Keep, series: str, rows: int, took_ms: float) -> None:
    keep(Point(_MS, series, rows, took_ms))
    keep(Point(_US, series, rows, took_ms * 1000 / rows))


ROWS = Part("rows", "rows in a body", measure)
