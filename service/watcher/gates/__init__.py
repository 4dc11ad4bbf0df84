"""What a candidate must pass before it sees traffic: one gate a file, in order in `row`."""
