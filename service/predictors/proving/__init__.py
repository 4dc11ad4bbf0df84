"""What a worker finds out of a model before it serves: it answers, row by row, how fast.

Runs in workers alone.
"""
