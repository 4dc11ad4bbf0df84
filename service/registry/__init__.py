"""Everything on the tracking side of MLflow, and versions on disk."""
