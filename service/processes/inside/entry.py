"""The program of a child that is started by command line: `python entry.py PIPE ALIVE`.

Run by its path, in whatever interpreter: `service` comes from where this file is, and nothing else
of the server process's environment does. Descriptor PIPE is a socket to the server process, which
sends first what is to be run; ALIVE is at its end once the server process has ended.

Nothing of ours or of others is imported before it is known that this Python will do.
"""

import importlib.util
import os
import sys


def main(pipe: int, alive: int) -> None:
    """Be the child until the server process closes the pipe, or ends."""
    _provide_service()
    from service.core.child_needs import UNFIT_STATUS  # noqa: PLC0415 - see the module's docstring

    unfit = _why_unfit()
    if unfit:
        sys.stderr.write(unfit + "\n")
        sys.stderr.flush()
        os._exit(UNFIT_STATUS)
    from multiprocessing.connection import Connection  # noqa: PLC0415 - see the module's docstring

    from service.processes.inside import bootstrap  # noqa: PLC0415 - the same
    from service.processes.output import InheritedOutput  # noqa: PLC0415 - the same
    from service.processes.own_memory import hide_memory  # noqa: PLC0415 - the same

    # Before credentials come. A new program can be read again, whatever it was started by.
    hide_memory()
    # Before anything waits: the process that is to say what to run may have ended.
    bootstrap.end_with(alive)
    bootstrap.serve_as_told(Connection(pipe), InheritedOutput())


def _why_unfit() -> str:
    """Say why our part of a child can't run here, '' where it can. In words of Python 3.6."""
    from service.core.child_needs import (  # noqa: PLC0415 - see the module's docstring
        OLDEST_MSGSPEC,
        OLDEST_PYTHON,
    )

    if sys.version_info < OLDEST_PYTHON:
        version, oldest = (
            ".".join(map(str, numbers)) for numbers in (sys.version_info[:3], OLDEST_PYTHON)
        )
        return f"{sys.executable} is Python {version}, and {oldest} or later is needed"
    try:
        import msgspec  # noqa: PLC0415 - looked for
    except Exception as error:  # noqa: BLE001 - a package that is broken may raise anything
        return f"msgspec can't be imported by {sys.executable}: {error}"
    found = msgspec.__version__
    if _numbers(found) < _numbers(OLDEST_MSGSPEC):
        return f"{sys.executable} has msgspec {found}, and {OLDEST_MSGSPEC} or later is needed"
    return ""


def _numbers(version: str) -> "list[int]":
    return [int(part) for part in version.split(".")[:3] if part.isdigit()]


def _provide_service() -> None:
    """Have `service` imported from where this file is, without a place in `sys.path` for it.

    There lie all other packages of the server's environment, too, and here this one's count.
    """
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - before pathlib is needed
    sys.path[:] = [path for path in sys.path if path != here]
    package = os.path.dirname(os.path.dirname(here))  # noqa: PTH120 - the same
    spec = importlib.util.spec_from_file_location(
        "service",
        os.path.join(package, "__init__.py"),  # noqa: PTH118 - the same
        submodule_search_locations=[package],
    )
    assert spec is not None  # noqa: S101 - there is such a file: this one lies beside it
    assert spec.loader is not None  # noqa: S101 - the same
    module = importlib.util.module_from_spec(spec)
    sys.modules["service"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
