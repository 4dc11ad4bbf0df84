"""Arrow IPC streams in and out. Imported in workers alone: the front has no pyarrow."""
