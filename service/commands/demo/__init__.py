"""Everything on one machine: a registry, a model in two versions, and the service."""
