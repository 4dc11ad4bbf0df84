"""Which engine answers for how many rows: verified and timed in the compiler, then opened."""
