"""Take a version's compiled predictors into use, once it serves and they are ready."""

import anyio
import structlog

from service.core.errors import ServiceError
from service.predictors.report import Report
from service.runtimes.compilation import Compiled, Compiler
from service.runtimes.messages import LoadReply
from service.runtimes.pool import Pool

_log = structlog.get_logger("compiler")


class Compiling:
    """How far it is with a version, for people."""

    def __init__(self, loaded: LoadReply) -> None:
        adopted = loaded.adopted
        self.pyfunc_only = loaded.pyfunc_only
        """Why there is nothing to compile, '' where there may be."""
        self.report: Report | None = adopted.report
        """What its workers answer by; None while that is pyfunc alone."""
        self.state = "pyfunc"
        self.reason = adopted.reason or loaded.pyfunc_only
        self.settled = anyio.Event()
        """Set once what is compiled at once is in use, or is known not to be."""
        if adopted.report is not None:
            self.adopted(adopted.report)
        if adopted.report is not None or loaded.pyfunc_only:
            self.settled.set()

    def began(self) -> None:
        """Note that a compiler is at work."""
        self.state = "compiling"

    def adopted(self, report: Report) -> None:
        """Note that workers answer by what this report found best."""
        self.report, self.reason = report, ""
        self.state = "compiling" if report.first else "tuned"

    def failed(self, reason: str) -> None:
        """Note that it stays as it is."""
        self.state = "pyfunc" if self.report is None else "tuned"
        self.reason = reason


async def compile_and_adopt(
    compiler: Compiler,
    pool: Pool,
    compiling: Compiling,
    proved: anyio.Event,
    serves: anyio.Event,
) -> None:
    """Compile a version, unless that was done before, and adopt what came of it.

    What is ready at once comes first, and is tried beside the gates: it is adopted once the version
    is `proved`. All the rest follows once it `serves`. Whatever fails here is a line in the log:
    the version serves on as it did.
    """
    log = _log.bind(version=pool.stored.version.version)
    known = compiling.report
    if known is not None and not known.first:
        await serves.wait()
        _tell(known, log)
        return
    if compiling.pyfunc_only:
        return
    try:
        compiling.began()
        log.info("compiling predictors")
        first = await _first(compiler, pool, log) if known is None else None
        await proved.wait()
        if first is not None and not first.report.is_pyfunc_alone:
            await _adopt(first, pool, compiling, log)
        compiling.settled.set()
        await serves.wait()
        compiling.began()
        await _adopt(await compiler.compile(pool.stored), pool, compiling, log)
    except ServiceError as error:
        compiling.failed(str(error))
        log.warning("predictors not compiled", reason=str(error))
    except Exception as error:
        compiling.failed(f"{type(error).__name__}: {error}")
        log.exception("predictors not compiled")
    finally:
        compiling.settled.set()


async def _first(
    compiler: Compiler, pool: Pool, log: structlog.typing.FilteringBoundLogger
) -> Compiled | None:
    """Compile what is ready at once, None where that fails: the rest may well succeed."""
    try:
        return await compiler.compile(pool.stored, first=True)
    except ServiceError as error:
        log.warning("first predictors not compiled", reason=str(error))
        return None


async def _adopt(
    compiled: Compiled,
    pool: Pool,
    compiling: Compiling,
    log: structlog.typing.FilteringBoundLogger,
) -> None:
    """Have workers answer by it, and tell."""
    reply = await pool.adopt(compiled.folder, pool.settings.load_timeout_s)
    if reply.reason:
        compiling.failed(reply.reason)
        log.warning("compiled predictors not used", reason=reply.reason)
        return
    report = reply.report or compiled.report
    compiling.adopted(report)
    _tell(report, log)


def _tell(report: Report, log: structlog.typing.FilteringBoundLogger) -> None:
    best = ", ".join(f"{rows}: {name}" for rows, name in sorted(report.best.items()))
    log.info("predictors tuned", best=best, compiled_s=report.took_s)
