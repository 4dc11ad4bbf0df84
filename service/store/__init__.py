"""All that is on disk below CACHE_DIR: versions, what was compiled of them, pointers' state.

In the server process it is called in threads; a child reads manifests and model files alone.
"""
