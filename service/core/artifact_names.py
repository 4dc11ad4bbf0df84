"""Files that may lie beside a version's own at the root of its artifacts."""

SIGNATURE = "model.sig"
"""A version's signature; it is no part of what it signs."""
CLIENTS_NOTE = "registered_model_meta"
"""MLflow's client adds a file of this name to what it downloads by name and version."""
ENVIRONMENT_LOCK = "environment.lock"
"""What a version's environment consists of, as `hotswap lock` has resolved and logged it."""
