"""Kinds of model as people log them, each with rows to ask it: for the comparison with pyfunc."""
