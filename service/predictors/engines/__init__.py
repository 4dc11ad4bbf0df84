"""Engines: faster calls of a model, used only where they were verified to answer as it does.

The compiler converts a model for them, and workers open them. They are named in `catalog`, and
imported when they are opened.
"""
