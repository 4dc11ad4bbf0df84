"""Control state, in the server process: what is wanted, what is, what was, what is refused."""
