"""What operators see of every process: the log."""
