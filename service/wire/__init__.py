"""HTTP's connections in the server process: where callers come in, and what one may hold."""
