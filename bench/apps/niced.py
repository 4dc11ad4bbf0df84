"""Work that stands back for all others: `python -m bench.apps.niced`.

Each line of input asks for so many seconds of CPU time at the lowest priority, as a compiler of
this service's has it, and a line answers once they are spent.
"""

import os
import sys
import time


def main() -> None:
    """Answer until the input ends."""
    os.nice(19)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    for line in sys.stdin:
        until = time.process_time() + float(line)
        while time.process_time() < until:
            pass
        print(line, end="", flush=True)


if __name__ == "__main__":
    main()
