"""What runs in a worker, and in the fork server from which workers come: one loaded model."""
