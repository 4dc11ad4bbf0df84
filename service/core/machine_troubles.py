"""Failures that are of the machine and may pass, by the words that programs tell of them.

They are for want of memory, disk, threads, descriptors or rights, or a kill from outside.
"""

import re

_SCARCE = (
    r"Cannot allocate memory|Too many open files|No space left on device|can't start new thread|"
    r"\[Errno (?:5|11|12|23|24|28|122)\]"
)
_OF_THE_MACHINE = re.compile(
    rf"{_SCARCE}|MemoryError|\(os error (?:5|11|12|13|23|24|28|30|122)\)|Read-only file system|"
    r"Disk quota exceeded|Permission denied|Resource temporarily unavailable|Killed signal|"
    r"signal: 9|SIGKILL",
    re.IGNORECASE,
)
_OF_AN_IMPORT = re.compile(rf"{_SCARCE}|^MemoryError\b")
"""Fewer, since an import tells of any name."""


def is_transient(told: str) -> bool:
    """Tell whether what a program told of its failure is of the machine, and may pass."""
    return bool(_OF_THE_MACHINE.search(told))


def is_transient_import(told: str) -> bool:
    """Tell the same of the text of an import's error."""
    return bool(_OF_AN_IMPORT.search(told))
