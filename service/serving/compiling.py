"""Take a version's compiled predictors into use, once it serves and they are ready."""

import anyio
import structlog

from service.core.errors import ServiceError
from service.predictors.report import Report
from service.runtimes.compilation import Compiler
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
        if adopted.report is not None:
            self.adopted(adopted.report)

    def began(self) -> None:
        """Note that a compiler is at work."""
        self.state = "compiling"

    def adopted(self, report: Report) -> None:
        """Note that workers answer by what this report found best."""
        self.report, self.state, self.reason = report, "tuned", ""

    def failed(self, reason: str) -> None:
        """Note that it stays as it is."""
        self.state, self.reason = "pyfunc", reason


async def compile_and_adopt(
    compiler: Compiler, pool: Pool, compiling: Compiling, serves: anyio.Event
) -> None:
    """Compile a version once it serves, unless that was done before, and adopt what came of it.

    Whatever fails here is a line in the log: the version serves on as it did.
    """
    await serves.wait()
    log = _log.bind(version=pool.stored.version.version)
    if compiling.report is not None:
        _tell(compiling.report, log)
        return
    if compiling.pyfunc_only:
        return
    try:
        compiling.began()
        log.info("compiling predictors")
        compiled = await compiler.compile(pool.stored)
        reply = await pool.adopt(compiled.folder, pool.settings.load_timeout_s)
    except ServiceError as error:
        compiling.failed(str(error))
        log.warning("predictors not compiled", reason=str(error))
    except Exception as error:
        compiling.failed(f"{type(error).__name__}: {error}")
        log.exception("predictors not compiled")
    else:
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
