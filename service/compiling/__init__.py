"""When a version is compiled, and where that is kept, as the server process decides it.

The compiler's own process runs what is in `inside`.
"""
