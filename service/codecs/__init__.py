"""Bodies, in the server process and in workers: their media types and their chunks."""
