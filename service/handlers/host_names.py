"""The names that callers may have for this service in `Host` and `Origin`.

A web page can have a name of its own mean this machine, after the browser has loaded it (DNS
rebinding). `Host` then still has that name, which is how such a call is told from others.
"""

import ipaddress
import re
from functools import lru_cache

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s\[\]:/?#@]+)(?::\d{0,5})?", re.IGNORECASE)
_LONGEST_BYTES = 300
"""A longer name is refused: the DNS allows 253 bytes, to which a port may come."""
_KEPT_NAMES = 256


class HostNames:
    """Tells this service's own names from others.

    `host` is the address that it listens on; `allowed` are further names, of a proxy that keeps
    `Host`, or `*`. They are allowed to read, and not taken for loopback.
    """

    def __init__(self, host: str, allowed: str = "") -> None:
        self._host = _bare(host)
        self._allowed = frozenset(_bare(name) for name in allowed.split(",") if name.strip())
        self.only_loopback = is_loopback(self._host) or self._host == "localhost"
        """Whether it can be called from this machine alone, so that its names are known."""
        self._is_known = lru_cache(_KEPT_NAMES)(self._is_known_name)

    def may_call(self, host: bytes) -> bool:
        """Return whether a caller may have this in `Host`; any, where not all names are known."""
        return not self.only_loopback or (len(host) <= _LONGEST_BYTES and self._is_known(host))

    def may_be_local(self, host: bytes) -> bool:
        """Return whether a `Host` is localhost, a loopback address, or HOST, with any port."""
        return len(host) <= _LONGEST_BYTES and self._is_local(host)

    def is_own_page(self, origin: bytes, host: bytes) -> bool:
        """Return whether `Origin` is a page of this service itself, called by a local name."""
        scheme, mark, authority = origin.lower().partition(b"://")
        return (
            bool(mark)
            and scheme in {b"http", b"https"}
            and authority == host.lower()
            and self.may_be_local(host)
        )

    def _is_known_name(self, host: bytes) -> bool:
        """Return whether this is a name of ours, or none that a web page's owner could give us.

        An address has no name to be changed, and the DNS has no names without a dot to give away.
        """
        name = _name_of(host)
        if not name:
            return False
        given_by_dns = "." in name and not name.endswith(".localhost") and not _is_address(name)
        return not given_by_dns or self._is_local(host) or bool({name, "*"} & self._allowed)

    def _is_local(self, host: bytes) -> bool:
        name = _name_of(host)
        return bool(name) and (name in {"localhost", self._host} or is_loopback(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(text: str) -> bool:
    """Return whether this is an address of loopback, also as IPv6 has IPv4's."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _name_of(host: bytes) -> str:
    """Return the name in a `Host` without its port; '' for what is no host."""
    found = _HOST.fullmatch(host.decode("latin-1"))
    return _bare(found["name"]) if found else ""


def _bare(name: str) -> str:
    """Return a name as it is compared: in small letters, an IPv6 address without brackets."""
    return name.strip().lower().removeprefix("[").removesuffix("]")
