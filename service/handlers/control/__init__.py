"""Control and health: what operators, probes and webhooks call."""
