import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.processes.inside.late_imports import late_import
from service.workers.inside.shadowing import ShadowedModuleError, make_room

DESCRIBED = {"flavors": {"python_function": {"code": "code", "loader_module": "x"}, "other": None}}


@pytest.fixture(autouse=True)
def own_modules() -> Iterator[None]:
    """Give back what a test takes out of sys.modules."""
    before = dict(sys.modules)
    yield
    sys.modules.clear()
    sys.modules.update(before)


def ship(folder: Path, *names: str) -> Path:
    """Make a model that ships these files and folders as its code."""
    for name in names:
        file = folder / "code" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


@pytest.mark.parametrize(
    "names", [(), ("nowhere_else.py",), ("nowhere_else/__init__.py",), ("__pycache__/json.pyc",)]
)
def test_a_module_that_nobody_else_has_is_let_through(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    """Nothing has to give way."""
    before = dict(sys.modules)
    make_room(ship(tmp_path, *names), DESCRIBED, ())
    assert sys.modules == before


@pytest.mark.parametrize(
    "name", ["json.py", "json/__init__.py", "json/data.txt", "json.cpython-311-x86_64-linux-gnu.so"]
)
def test_a_module_that_the_worker_has_loaded_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """The model would silently run somebody else's code."""
    with pytest.raises(ShadowedModuleError, match=r"module named 'json'.*rename"):
        make_room(ship(tmp_path, name), DESCRIBED, ())


def test_our_own_package_gives_way(tmp_path: Path) -> None:
    """With all its modules; others whose names begin alike stay."""
    sys.modules["service_of_another"] = sys.modules["json"]
    late = "service.codecs.arrow.request"
    make_room(ship(tmp_path, "service/__init__.py"), DESCRIBED, [late, "service.nowhere"])
    assert [name for name in sys.modules if name.split(".")[0] == "service"] == []
    assert "service_of_another" in sys.modules
    # What is needed later was imported before, and is still found.
    assert late_import(late).ArrowRequests
    assert "service" not in sys.modules


def test_what_is_not_in_a_code_folder_is_no_module(tmp_path: Path) -> None:
    """A model folder has files of other kinds."""
    ship(tmp_path, "notes.txt", "requirements")
    (tmp_path / "json.py").touch()
    described: dict[str, Any] = {"flavors": {"python_function": {"code": None}}}
    make_room(tmp_path, described, ())
    make_room(tmp_path, DESCRIBED, ())
    make_room(tmp_path, {}, ())
