"""Keep what a transformer makes of each text, since texts come again: months, countries."""

from sys import getsizeof
from typing import Any

import numpy as np

from service.contracts.contract import Call, Column, Contract
from service.contracts.merge import take
from service.predictors.engines.engine import Array, BeyondError
from service.predictors.engines.frames import dense, frame_of

_ENTRY_BYTES = 250
"""Each text takes so much beside itself and its row: a place in a dict, and an array's head."""
LIMIT_BYTES = 32_000_000
"""All text columns of a model may take so much: each has its share, and begins anew beyond it.

A worker's requests come one after another, so that this is no race.
"""


class TransformCache:
    """A chain of transformers over one text column, asked once for each text."""

    def __init__(
        self,
        contract: Contract,
        index: int,
        names: Any,
        chain: list[Any],
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._contract = contract
        self._index = index
        self._names = names
        self._chain = chain
        self._known: dict[Any, Array] = {}
        self.held_bytes = 0
        """What it takes now."""
        texts = sum(spec.type == "string" for spec in contract.inputs)
        self._limit_bytes = limit_bytes // max(1, texts)

    def __call__(self, call: Call) -> Array:
        """Return a row for each text. Raise BeyondError for a text that the transformer refuses."""
        texts = call.columns[self._index]
        known = self._known
        try:
            rows = [known[text] for text in texts]
        except KeyError:
            self._learn(call, texts)
            rows = [self._known[text] for text in texts]
            if self.held_bytes > self._limit_bytes:
                self._known, self.held_bytes = {}, 0
        return np.array(rows)

    def _learn(self, call: Call, texts: Column) -> None:
        new = {text: row for row, text in enumerate(texts) if text not in self._known}
        some = take(call, list(new.values()))
        transformed = frame_of(self._contract, some, self._names)
        try:
            for transformer in self._chain:
                transformed = transformer.transform(transformed)
        except Exception as error:
            raise BeyondError(f"{type(error).__name__}: {error}") from error
        rows = dense(transformed)
        self._known.update(zip(new, rows, strict=True))
        self.held_bytes += rows.nbytes + sum(getsizeof(text) + _ENTRY_BYTES for text in new)
