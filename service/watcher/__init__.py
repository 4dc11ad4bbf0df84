"""The way of a promotion, from being noticed to serving, in the server process."""
