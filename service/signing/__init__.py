"""Signatures over a version's files, in the OpenSSF model-signing format.

`inside` runs in a process of its own: what it imports takes long, and has no business elsewhere.
"""
