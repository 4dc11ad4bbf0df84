"""MLflow's side as the server process sees it; what calls MLflow's client is in `inside`."""
