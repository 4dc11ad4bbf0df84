"""Failures for want of memory, disk, threads or descriptors, by the words that programs tell of."""

import re

_OF_THE_MACHINE = re.compile(
    r"No space left on device|\(os error (?:5|11|12|13|23|24|28|30|122)\)|Cannot allocate memory|"
    r"\[Errno (?:5|11|12|23|24|28|122)\]|Read-only file system|Disk quota exceeded|"
    r"Permission denied|Too many open files|MemoryError|can't start new thread|"
    r"Resource temporarily unavailable|Killed signal|signal: 9|SIGKILL",
    re.IGNORECASE,
)


def may_pass(told: str) -> bool:
    """Tell whether what a program told of its failure is of the machine, and may pass."""
    return bool(_OF_THE_MACHINE.search(told))
