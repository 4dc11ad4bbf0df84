"""Serve what the MLflow registry promotes."""
