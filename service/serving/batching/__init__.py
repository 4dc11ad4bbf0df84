"""The queue of one loaded version, and what of it goes to a worker in one call."""
