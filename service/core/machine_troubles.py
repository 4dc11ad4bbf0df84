"""Failures that are of the machine and may pass, by the words that programs tell of them.

They are for want of memory, disk, threads, descriptors or rights, or a kill from outside.
"""

import re

_OF_THE_MACHINE = re.compile(
    r"No space left on device|\(os error (?:5|11|12|13|23|24|28|30|122)\)|Cannot allocate memory|"
    r"\[Errno (?:5|11|12|23|24|28|122)\]|Read-only file system|Disk quota exceeded|"
    r"Permission denied|Too many open files|MemoryError|can't start new thread|"
    r"Resource temporarily unavailable|Killed signal|signal: 9|SIGKILL",
    re.IGNORECASE,
)


_OF_AN_IMPORT = re.compile(
    r"Cannot allocate memory|Too many open files|No space left on device|^MemoryError\b|"
    r"can't start new thread|\[Errno (?:5|11|12|23|24|28|122)\]",
)
"""Fewer, since an import tells of any name."""


def is_transient(told: str) -> bool:
    """Tell whether what a program told of its failure is of the machine, and may pass."""
    return bool(_OF_THE_MACHINE.search(told))


def is_transient_import(told: str) -> bool:
    """Tell the same of the text of an import's error."""
    return bool(_OF_AN_IMPORT.search(told))
