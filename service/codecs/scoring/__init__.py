"""MLflow's scoring protocol, as far as a call says the same as MLflow's own reading of a body."""
