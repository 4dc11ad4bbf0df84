"""Engines: faster calls of a model, used only where they were verified to answer as it does."""
