"""The numbers of this service for Prometheus: counted by an observer, shown at `/metrics`."""
