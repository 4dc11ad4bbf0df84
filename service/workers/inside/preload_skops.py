"""What the fork server imports beside the rest where a version may be in skops' format.

Apart, since it takes as long as half of the rest, and a start waits for it.
"""

import contextlib
import gc
import importlib

with contextlib.suppress(Exception):
    importlib.import_module("skops.io")
gc.freeze()
