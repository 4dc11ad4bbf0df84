"""How a loaded model is called, in workers and in the compiler.

What stands in this folder runs in both, and so do `engines/`. `proving/` runs in workers alone,
`choosing/` in the compiler alone.
"""
