"""The HTTP protocol of `hotswap serve`: what a connection may hold, and for how long."""
