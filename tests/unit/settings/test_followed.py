import anyio
import pytest
import structlog

from service.settings import followed


async def test_what_a_look_raises_ends_neither_the_looks_nor_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is logged once for each time, by what was looked at."""
    monkeypatch.setattr(followed, "LOOK_S", 0.001)
    looks = 0
    again = anyio.Event()

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise LookupError("a disk that is gone")
        again.set()

    with structlog.testing.capture_logs() as lines:
        async with followed.followed("A_FILE", look):
            with anyio.fail_after(10):
                await again.wait()
    assert [(line["log_level"], line["what"]) for line in lines] == [("error", "A_FILE")]
