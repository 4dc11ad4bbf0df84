"""What a version is to have installed, as its files say."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from service.environments.inside.reading import read
from service.environments.messages import Needs, ReadRequest

MLMODEL = (
    "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    python_version: 3.11.7\n"
)
HASH = "a" * 64
PROJECT = '[project]\nname = "p"\nversion = "1"\ndependencies = ["numpy"]\n'
LOCK = (
    'version = 1\n[[package]]\nname = "numpy"\nversion = "1.0"\n'
    'source = { registry = "https://pypi.org/simple" }\n'
    'wheels = [{ url = "https://files.pythonhosted.org/packages/n.whl" }]\n'
    '[[package]]\nname = "p"\nversion = "1"\nsource = { virtual = "." }\n'
)


def needs_of(folder: Path, files: Mapping[str, str], *, allow_urls: bool = False) -> Needs:
    """Return what a version with these files needs."""
    for name, text in {"MLmodel": MLMODEL, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    copy_to = str(folder / "copy")
    return read(ReadRequest(str(folder), copy_to, allow_urls, ("https://pypi.org/simple/",)))


@pytest.mark.parametrize(
    ("files", "found_by", "requirements"),
    [
        ({"requirements.txt": "a==1\n"}, "requirements.txt", ("a==1",)),
        (
            {"conda.yaml": "dependencies:\n- python=3.11\n- pip<=24\n- pip:\n  - b\n"},
            "conda.yaml",
            ("b",),
        ),
        (
            {"requirements.txt": "a\n", "environment.lock": f"c==1 --hash=sha256:{HASH}\n"},
            "its lock",
            (f"c==1 --hash=sha256:{HASH}",),
        ),
        (
            {"environment.lock": "c\n", "uv.lock": LOCK, "pyproject.toml": PROJECT},
            "uv.lock",
            (),
        ),
        ({"requirements.txt": "a\n", "uv.lock": LOCK}, "requirements.txt", ("a",)),
        ({}, "", ()),
    ],
)
def test_the_first_file_that_says_it_counts(
    tmp_path: Path, files: Mapping[str, str], found_by: str, requirements: tuple[str, ...]
) -> None:
    """Wheels before a project's lock, that before ours, that before requirements and conda's."""
    needs = needs_of(tmp_path, files)
    assert needs == Needs(
        found_by,
        "3.11.7",
        "mlflow.sklearn",
        requirements,
        is_lock=found_by in {"its lock", "uv.lock"},
        project_digest=needs.project_digest,
    )


def test_wheels_come_first_and_have_their_hashes(tmp_path: Path) -> None:
    """Each file below `wheels/` is a version of its own."""
    files = {"requirements.txt": "wheels/a-1.0-py3-none-any.whl\n"}
    files |= {"wheels/a-1.0-py3-none-any.whl": "x", "environment.lock": "c\n"}
    needs = needs_of(tmp_path, files)
    assert needs.found_by == "the wheels in its artifacts"
    assert needs.requirements[0].startswith("a==1.0 --hash=sha256:2d711642b726b0440162")
    (tmp_path / "wheels" / "a-2.0-py3-none-any.whl").touch()
    assert "not the only version of a" in needs_of(tmp_path, files).refusal


def test_what_conda_alone_has_is_refused_by_its_name(tmp_path: Path) -> None:
    """Python and pip stand in every such file, and are passed over."""
    conda = "dependencies:\n- python=3.11.7\n- pip<=24\n- cudatoolkit=11.8\n- conda-forge::gdal\n"
    refusal = needs_of(tmp_path, {"conda.yaml": conda, "requirements.txt": "a\n"}).refusal
    assert "cudatoolkit=11.8, conda-forge::gdal" in refusal
    assert "pip<=24" not in refusal


@pytest.mark.parametrize(
    ("project", "lock", "named"),
    [
        (PROJECT + "[tool.uv]\nindex-url = 'https://e.test'\n", LOCK, "[tool.uv] has index-url"),
        (PROJECT + "[tool.uv.sources]\nnumpy = {git = 'x'}\n", LOCK, "[tool.uv] has sources"),
        (PROJECT + "[tool.uv]\ncache-dir = '/'\n", LOCK, "[tool.uv] has cache-dir"),
        (PROJECT.replace("numpy", "n @ https://e.test/n.whl"), LOCK, "n @ https://e.test/n.whl"),
        (PROJECT, LOCK.replace("pypi.org", "evil.test"), "https://evil.test/simple"),
        (PROJECT, LOCK.replace("files.pythonhosted.org", "evil.test"), "a file of numpy"),
        (PROJECT, LOCK.replace("https://files", "http://files"), "a file of numpy"),
        (PROJECT, LOCK.replace('virtual = "."', 'directory = "../p"'), "p comes from no index"),
        (PROJECT, LOCK.replace("registry =", "git ="), "numpy comes from no index"),
        (
            PROJECT.replace("[project]", "[project]\ndynamic = ['optional-dependencies']"),
            LOCK,
            "dynamic",
        ),
        (PROJECT, "= nonsense", "can't be read"),
        ("\0", LOCK, "can't be read"),
    ],
)
def test_a_project_that_names_a_place_is_refused(
    tmp_path: Path, project: str, lock: str, named: str
) -> None:
    """Nothing of it is copied to where uv reads it."""
    needs = needs_of(tmp_path, {"pyproject.toml": project, "uv.lock": lock})
    assert named in needs.refusal
    assert not (tmp_path / "copy").exists()


def test_files_that_are_no_such_files_are_refused(tmp_path: Path) -> None:
    """One that is not in UTF-8, and one that is too large."""
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe")
    assert "not in UTF-8" in needs_of(tmp_path, {}).refusal
    (tmp_path / "requirements.txt").write_bytes(b"a\n" * 3_000_000)
    assert "requirements.txt can't be read" in needs_of(tmp_path, {}).refusal
    (tmp_path / "requirements.txt").write_text("".join(f"p{n}\n" for n in range(6_000)))
    assert "more than 5000 packages" in needs_of(tmp_path, {}).refusal
