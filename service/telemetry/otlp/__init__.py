"""Traces and metrics by OTLP: what alone imports OpenTelemetry in the server process."""
