"""Which lines of somebody else's requirements are passed on."""

from pathlib import Path

import pytest

from service.environments.inside.lines import logical_lines, read_lines, read_lock

HASH = "a" * 64


@pytest.mark.parametrize(
    ("line", "passed"),
    [
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("scikit-learn >=1.4, <2 ; python_version > '3.9'", None),
        ("mlflow[extras]", "mlflow[extras]"),
        (f"numpy==1.0 --hash=sha256:{HASH}", f"numpy==1.0 --hash=sha256:{HASH}"),
    ],
)
def test_packages_are_passed_on_by_their_names(line: str, passed: str | None) -> None:
    """Each is written anew from what was read."""
    found = read_lines([line], Path("/nowhere"), allow_urls=False)
    assert not found.refused
    assert len(found.accepted) == 1
    if passed is not None:
        assert found.accepted == [passed]


@pytest.mark.parametrize(
    "line",
    [
        *("-r other.txt", "-c /etc/passwd", "-e .", "--editable=.", "--pre", "--no-binary :all:"),
        *("-i https://evil.test/simple", "--extra-index-url=https://evil.test", "-f /tmp"),
        *(
            "--trusted-host evil.test",
            "--config-settings x=y",
            "--index-url https://${TOKEN}@e.test",
        ),
        *(
            "pkg @ https://evil.test/p.whl",
            "pkg @ git+ssh://git@evil.test/p",
            "pkg @ file:///etc/p",
        ),
        *("https://evil.test/p.whl", "git+https://evil.test/p", "./p.whl", "../p.whl", "/p.whl"),
        *(
            "C:\\p.whl",
            "wheels/../../p.whl",
            "p.tar.gz",
            "p.whl",
            "pkg==1.0; $(touch x)",
            "pkg`id`",
        ),
        *("pkg==${UV_INDEX_X_PASSWORD}", "$(id)", "pkg | sh", "pkg && id", "=1", "x" * 3_000),
        f"pkg==1.0 --hash=md5:{HASH}",
    ],
)
def test_what_names_a_place_an_option_or_a_variable_is_refused_by_name(line: str) -> None:
    """None of it reaches uv, and the sentence says which line it is."""
    found = read_lines([line], Path("/nowhere"), allow_urls=False)
    assert not found.accepted
    assert len(found.refused) == 1
    assert found.refused[0].startswith(line[:5])


def test_places_are_passed_on_where_they_are_allowed(tmp_path: Path) -> None:
    """An address of the web, an index, and a wheel below the version's folder; no other file."""
    (tmp_path / "lib").mkdir()
    wheel = tmp_path / "lib" / "p-1-py3-none-any.whl"
    wheel.touch()
    passed = ["pkg @ https://a.test/p.whl", "git+https://a.test/p@v1"]
    found = read_lines(
        [*passed, "--extra-index-url https://a.test/simple", "lib/p-1-py3-none-any.whl"],
        tmp_path,
        allow_urls=True,
    )
    assert found.accepted == [*passed, "--extra-index-url https://a.test/simple", str(wheel)]
    refused = [
        "../p.whl",
        "lib/other.whl",
        "-r x.txt",
        "pkg @ file:///etc/p",
        "-i file:///x",
        "-e .",
    ]
    assert len(read_lines(refused, tmp_path, allow_urls=True).refused) == len(refused)


def test_a_lock_names_versions_and_hashes_alone() -> None:
    """What is no exact version, or has no hash, is refused."""
    lines = [
        f"a==1 --hash=sha256:{HASH}",
        "b==1",
        f"c>=1 --hash=sha256:{HASH}",
        "-i https://e.test",
    ]
    lines += [f"d @ https://e.test/d.whl --hash=sha256:{HASH}", f"e==1.* --hash=sha256:{HASH}"]
    found = read_lock(lines)
    assert found.accepted == [lines[0]]
    assert len(found.refused) == 5


def test_lines_are_joined_and_comments_left_out() -> None:
    """As pip reads them; a hash sign within a word begins no comment."""
    text = "# top\nnumpy \\\n  ==1.0  # why\r\n\nb@x#egg\n"
    assert list(logical_lines(text)) == ["numpy    ==1.0", "b@x#egg"]
