"""The log of every process, and observers of what happens in the server process."""
