"""Several models in one service: what one does to another, and what each further one takes.

    python -m bench.many [--rounds 5] [--models 50] [--parts isolation,further]

`isolation`: 16 clients ask one model while another one loads, is promoted, crashes, is refused or
is flooded; beside it the same model alone, while a process computes for as long as that took.
`further`: so many small models in one service, against one: start, memory, a promotion of each.
"""

import argparse
import tempfile
from pathlib import Path

from bench.many import further, isolation
from tools import mlflow_server

_PARTS = ("isolation", "further")


def main() -> None:
    """Measure and print."""
    chosen = _arguments()
    with tempfile.TemporaryDirectory(prefix="many-") as name:
        folder = Path(name)
        server = mlflow_server.start(folder / "mlflow")
        try:
            if "isolation" in chosen.parts:
                print(isolation.measure(server, folder, chosen.rounds), flush=True)
            if "further" in chosen.parts:
                print(further.measure(server, folder, chosen.models), flush=True)
        finally:
            server.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(_PARTS))
    return parser.parse_args()


main()
