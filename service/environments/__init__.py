"""Environments that versions bring: found, built by uv, and held as long as a version uses them."""
