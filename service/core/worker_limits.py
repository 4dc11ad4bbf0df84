"""What processes that run model code may take and do, beyond what the service's user may."""

import msgspec


class WorkerLimits(msgspec.Struct, frozen=True, array_like=True):
    """The limits of one process; those that say nothing limit nothing."""

    memory_bytes: int = 0
    """Memory that it and what it starts may hold, by watching; 0 for any."""
    files: int = 0
    """Descriptors that it may have open; 0 for as many as the service itself."""
    no_new_privileges: bool = False
    """Whether no program that it starts gets more rights than it has, such as `sudo`."""
    no_network: bool = False
    """Whether it may open no sockets but those of this machine's files (`AF_UNIX`)."""


NO_LIMITS = WorkerLimits()
