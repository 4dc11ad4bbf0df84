"""What the server process and the fork server of an environment say to each other."""

import msgspec

TARGET = "service.processes.inside.forking:operations"
FORK = "fork"
DESCRIPTORS = 4
"""This many come over the socket with each call: a child's pipe, its output, what it is tied to the
server process by, and where its status is told when it has ended."""


class ForkServerArguments(msgspec.Struct, frozen=True):
    """The descriptor of the socket, and the modules that are imported for all children."""

    socket: int
    modules: tuple[str, ...]


class ForkRequest(msgspec.Struct, frozen=True):
    """Fork a child that has this mark from the beginning."""

    mark: int


class ForkReply(msgspec.Struct, frozen=True):
    """The process of the child."""

    pid: int
