"""The socket that requests arrive at, bound before anything else is done."""

import errno
import socket

from service import windows

_BACKLOG = 2048


class ListenError(Exception):
    """An address that cannot be listened on, in one line."""


class PortInUseError(ListenError):
    """The port belongs to another program."""


def listen(host: str, port: int, *, setting: str = "PORT") -> socket.socket:
    """Bind and listen, so that callers may connect from now on. `setting` is named in errors.

    Raises:
        PortInUseError: another program listens there.
        ListenError: the address is none of this machine's, or the port is not allowed.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"{host!r} is no address that can be listened on: {error}") from None
    family, kind, protocol, _, address = addresses[0]
    listener = socket.socket(family, kind, protocol)
    try:
        windows.claim_address(listener)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        # Two sockets with SO_REUSEADDR may both bind: only listening tells whose the port is.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno in {errno.EADDRINUSE, errno.EACCES} and port:
            raise PortInUseError(
                f"port {port} on {host} is in use or not allowed ({error.strerror}): end the "
                f"program that has it, or set {setting} to another"
            ) from None
        raise ListenError(f"{host}:{port} cannot be listened on: {error.strerror}") from None
    return listener


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Return the address of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
