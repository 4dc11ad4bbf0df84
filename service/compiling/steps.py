"""Compile a version in two steps, and activate the predictors of each."""

import anyio
import structlog

from service.compiling.compilation import Compiled, Compiler
from service.core.errors import ServiceError
from service.predictors.report import Report
from service.workers.messages import LoadReply
from service.workers.pool import Pool

_log = structlog.get_logger("compiler")


class Compiling:
    """How far the compilation of a version has come, for people."""

    def __init__(self, loaded: LoadReply) -> None:
        activated = loaded.activated
        self.pyfunc_only = loaded.pyfunc_only
        """Why there is nothing to compile, '' where there may be."""
        self.report: Report | None = activated.report
        """The report of the predictors in use; None while that is pyfunc alone."""
        self.state = "pyfunc"
        self.reason = activated.reason or loaded.pyfunc_only
        self.settled = anyio.Event()
        """Set once the predictors of the first step are in use, or are known not to be."""
        if activated.report is not None:
            self.activated(activated.report)
        if activated.report is not None or loaded.pyfunc_only:
            self.settled.set()
        self.may_activate = anyio.Event()
        """Set once its workers may answer by the quick engines: the gates need pyfunc no more."""
        self.may_go_on = anyio.Event()
        """Set once the other engines may be tried as well: it serves, and none of it waits."""

    def allow_quick(self) -> None:
        """Have workers answer by the quick engines as soon as these are ready."""
        self.may_activate.set()

    def allow_all(self) -> None:
        """Have the other engines tried, too."""
        self.may_activate.set()
        self.may_go_on.set()

    def began(self) -> None:
        """Note that a compiler is at work."""
        self.state = "compiling"

    def activated(self, report: Report) -> None:
        """Note that workers answer by what this report found best."""
        self.report, self.reason = report, ""
        self.state = "compiling" if report.first else "tuned"

    def failed(self, reason: str) -> None:
        """Note that it stays as it is."""
        self.state = "pyfunc" if self.report is None else "tuned"
        self.reason = reason


class CompileSteps:
    """Compiles a version in two steps, and has its workers answer by the predictors of each.

    Whatever fails here is a line in the log: the version serves on as it did.
    """

    def __init__(self, compiler: Compiler, pool: Pool) -> None:
        self._compiler = compiler
        self._pool = pool
        self._log = _log.bind(version=pool.stored.version.version)
        self._has_begun = False
        self._first: Compiled | None = None
        """The outcome of the first step, None where it failed."""
        self._first_is_over = anyio.Event()

    async def compile_first(self) -> None:
        """Compile for the quick engines, behind the worker that loads the version meanwhile.

        Nothing is taken into use, and nothing is raised.
        """
        self._has_begun = True
        stored = self._pool.stored
        try:
            await self._pool.loading.wait()
            if not await self._compiler.may_succeed(stored):
                return
            async with self._compiler.compiled(
                stored, self._pool.environment, first=True
            ) as self._first:
                self._first_is_over.set()
        except ServiceError as error:
            self._log.warning("first predictors not compiled", reason=str(error))
        except Exception:  # noqa: BLE001 - the version serves on
            self._log.exception("first predictors not compiled")
        finally:
            self._first_is_over.set()

    async def compile_and_activate(self, compiling: Compiling) -> None:
        """Activate the quick engines, then compile all the rest and activate that.

        Each once the rollout allows it. Nothing is compiled that was compiled before. Raise
        nothing.
        """
        known = compiling.report
        if known is not None and not known.first:
            await compiling.may_go_on.wait()
            self._tell(known)
            return
        if compiling.pyfunc_only:
            return
        try:
            compiling.began()
            self._log.info("compiling predictors")
            if known is None:
                await self._activate_first(compiling)
            compiling.settled.set()
            await compiling.may_go_on.wait()
            compiling.began()
            stored = self._pool.stored
            async with self._compiler.compiled(stored, self._pool.environment) as compiled:
                await self._activate(compiled, compiling)
        except ServiceError as error:
            compiling.failed(str(error))
            self._log.warning("predictors not compiled", reason=str(error))
        except Exception as error:  # noqa: BLE001 - the version serves on
            compiling.failed(f"{type(error).__name__}: {error}")
            self._log.exception("predictors not compiled")
        finally:
            compiling.settled.set()

    async def _activate_first(self, compiling: Compiling) -> None:
        if not self._has_begun:
            # What was kept of it was of no use.
            await self.compile_first()
        await self._first_is_over.wait()
        await compiling.may_activate.wait()
        if self._first is not None and not self._first.report.is_pyfunc_alone:
            await self._activate(self._first, compiling)

    async def _activate(self, compiled: Compiled, compiling: Compiling) -> None:
        """Have workers answer by it, and tell."""
        pool = self._pool
        reply = await pool.activate(compiled.folder, pool.settings.load_timeout_s)
        if reply.reason:
            compiling.failed(reply.reason)
            self._log.warning("compiled predictors not used", reason=reply.reason)
            return
        report = reply.report or compiled.report
        compiling.activated(report)
        self._tell(report)

    def _tell(self, report: Report) -> None:
        best = ", ".join(f"{rows}: {name}" for rows, name in sorted(report.best.items()))
        self._log.info("predictors tuned", best=best, compiled_s=report.took_s)
