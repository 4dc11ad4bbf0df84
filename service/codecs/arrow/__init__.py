"""Arrow IPC streams in and out, in workers alone: the server process has no pyarrow."""
