"""`hotswap status`: what a running service serves, as a table or as JSON."""
