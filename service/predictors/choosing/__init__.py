"""Which engine answers for how many rows: converted, verified and timed, in the compiler alone."""
