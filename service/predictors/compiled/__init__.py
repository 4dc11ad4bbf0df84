"""Ways to answer as a model does, faster: each is admitted only where it gives the same answers."""
