"""What operators see: logs, and the state of every version."""
