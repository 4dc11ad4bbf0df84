"""What runs in a registry process: all calls of MLflow's client, where they can be killed."""
