"""Workers as the server process sees them: pools, and the handle of each worker.

What runs in a worker's process is in `inside`.
"""
