"""Bytes, texts and values that nobody should send, made from a seeded generator."""

import json
from random import Random
from typing import Any

INTERESTING = (
    b"\0",
    b"\xff",
    b"\r\n",
    b"\n\n",
    b"%00",
    b"../",
    b"{",
    b"[" * 50,
    b'"',
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"-1",
    b"NaN",
    b"1e999",
    b"9" * 400,
    b"\x1b[31m",
    b"\x80\x00\x00\x00",
    b"\x7f\xff\xff\xff",
)
TEXTS = (
    "",
    "a",
    "\0",
    "\u202e",
    "\ud800",
    "ä" * 20,
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999+14:00",
    "YQ==",
    "Infinity",
    "x" * 5000,
    "\U0001f600",
)
NUMBERS = (0, -1, 1, 0.5, -0.0, 2**31, -(2**63), 2**63, 2**64, 10**30, 1e308, 5e-324, 1e-7)


def mutated(rng: Random, data: bytes, *, most: int = 8) -> bytes:
    """Return the bytes with a few changes: flipped, cut, doubled, exchanged or put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(7):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << rng.randrange(8)
            case 1 if changed:
                changed[at % len(changed)] = rng.randrange(256)
            case 2:
                del changed[at : at + rng.randint(1, 16)]
            case 3:
                changed[at:at] = rng.choice(INTERESTING)
            case 4:
                changed[at:at] = changed[at : at + rng.randint(1, 64)]
            case 5:
                del changed[at:]
            case _:
                end = at + rng.randint(1, 8)
                changed[at:end] = rng.randbytes(rng.randint(0, 8))
    return bytes(changed)


def value(rng: Random, depth: int = 3) -> Any:
    """Return a value as JSON may have it."""
    kind = rng.randrange(9 if depth else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in {1, 2}:
        return rng.choice([*NUMBERS, rng.uniform(-1e6, 1e6), rng.randint(-100, 100)])
    if kind in {3, 4, 5}:
        return rng.choice(TEXTS)
    if kind == 6:
        return [value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return {rng.choice(TEXTS): value(rng, depth - 1) for _ in range(rng.randint(0, 4))}


def json_text(document: Any) -> bytes:
    """Return a value as JSON, also where it holds what UTF-8 does not."""
    return json.dumps(document, ensure_ascii=True).encode()


def pieces(rng: Random, data: bytes) -> list[bytes]:
    """Cut bytes into a few pieces."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randint(0, 4)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if b > a]
