import asyncio
from collections.abc import Iterable

from service.wire.write_coalescing import CoalescingTransport


class Sent(asyncio.Transport):
    """Keeps what goes to the kernel, a list for each call into it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[bytes]] = []
        self.closed_after: int | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Note one call."""
        self.calls.append([bytes(data)])

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Note one call of several pieces."""
        self.calls.append([bytes(data) for data in list_of_data])

    def close(self) -> None:
        """Note after how many calls."""
        self.closed_after = len(self.calls)

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return self.closed_after is not None


def joining() -> tuple[CoalescingTransport, Sent]:
    """Return a transport, and what it sends by."""
    sent = Sent()
    return CoalescingTransport(sent, asyncio.get_running_loop()), sent


async def test_head_and_body_go_together() -> None:
    """And nothing is sent twice when the loop comes round."""
    transport, sent = joining()
    transport.write(b"head")
    assert sent.calls == []
    transport.write(b"body")
    await asyncio.sleep(0)
    assert sent.calls == [[b"head", b"body"]]


async def test_a_head_without_a_body_goes_when_the_loop_comes_round() -> None:
    """An answer that is long in coming shows that it has begun."""
    transport, sent = joining()
    transport.write(b"head")
    await asyncio.sleep(0)
    assert sent.calls == [[b"head"]]
    transport.write(b"")
    await asyncio.sleep(0)
    assert sent.calls == [[b"head"]]


async def test_nothing_is_lost_or_out_of_order_at_the_end() -> None:
    """Closing sends what is held; pieces go after it."""
    transport, sent = joining()
    transport.write(b"head")
    transport.writelines([b"a", b"b"])
    transport.write(b"last")
    transport.close()
    assert sent.calls == [[b"head"], [b"a", b"b"], [b"last"]]
    assert sent.closed_after == 3
    assert transport.is_closing()
