"""The code of registry processes: all calls of MLflow's client, where they can be killed."""
