import socket

import pytest

from service.wire.listening import ListenError, PortInUseError, listen, url_of


def test_callers_can_connect_as_soon_as_it_listens() -> None:
    """Nothing has to accept yet: the connection waits."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_a_port_in_use_is_named_with_its_setting() -> None:
    """The line says which port, and what to set."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"port {port} on 127.* set --port to another"):
            listen("127.0.0.1", port, setting="--port")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    """Neither a name that nobody knows nor another machine's address."""
    with pytest.raises(ListenError, match=host):
        listen(host, 0)


def test_ipv6_is_listened_on_where_there_is_any() -> None:
    """An IPv6 address is written in brackets."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 in this Python")
    try:
        listener = listen("::1", 0)
    except ListenError:
        pytest.skip("no IPv6 on this machine")
    with listener:
        assert url_of(listener).startswith("http://[::1]:")
