"""The gates that a candidate passes before it sees traffic, in the server process: see `chain`."""
