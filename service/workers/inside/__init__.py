"""What runs in a worker, which has one loaded model, and in the fork server that starts workers.

The compiler loads a model as a worker does, by `loading`.
"""
