"""axe-core, which checks pages for the WCAG: of npm, installed once from a lock with hashes."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Page

_LOCK = Path(__file__).parents[1] / "browser" / "axe"
_INSTALLED = Path(__file__).parents[2] / ".clients" / "axe"
_LIMIT_S = 120
WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
"""The rules of WCAG A and AA that look at colours: all that a theme changes."""
_RUN = """async (rules) => {
  const found = await axe.run(document, {
    runOnly: rules, resultTypes: ["violations", "incomplete"],
  });
  const told = (rules) => rules.map((rule) => ({
    rule: rule.id, help: rule.help, nodes: rule.nodes.map((node) => node.html.slice(0, 300) +
      " :: " + node.failureSummary),
  }));
  return { passes: found.passes.length, violations: told(found.violations),
    incomplete: told(found.incomplete) };
}"""


class Checked(NamedTuple):
    """How many rules a page keeps, which it breaks, and which a person has to look at."""

    passes: int
    violations: list[dict[str, Any]]
    incomplete: list[dict[str, Any]]


def source() -> str:
    """Return the library as a script. It is installed first where another one is locked."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm on this machine, which axe-core comes by")
    lock = (_LOCK / "package-lock.json").read_text("utf-8")
    known = _INSTALLED / "package-lock.json"
    script = _INSTALLED / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists() or known.read_text("utf-8") != lock:
        _INSTALLED.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_LOCK / name, _INSTALLED)
        done = subprocess.run(
            [npm, "ci", "--prefix", _INSTALLED, "--ignore-scripts", "--no-audit", "--no-fund"],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
            # Certificates are the system's: of its own list alone Node knows no company's proxy,
            # and npm tries again and again.
            env={**os.environ, "NODE_OPTIONS": "--use-openssl-ca"},
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return script.read_text("utf-8")


def check(page: Page, script: str, rules: dict[str, Any] = WCAG) -> Checked:
    """Check a page as it is now. The script comes by the debugger, which no policy hinders."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(script)
    found = page.evaluate(_RUN, rules)
    return Checked(found["passes"], found["violations"], found["incomplete"])
