"""Which variables uv gets, and where packages may come from."""

from service.environments.indexes import trusted_urls
from service.environments.variables import (
    builders_variables,
    plain_variables,
    withhold_for_builder,
)

ENVIRON = {
    "PATH": "/bin",
    "HOME": "/root",
    "UV_INDEX_CORP_PASSWORD": "hunter2",
    "UV_DEFAULT_INDEX": "https://corp.test/simple",
    "UV_CACHE_DIR": "/elsewhere",
    "UV_CONFIG_FILE": "/elsewhere.toml",
    "HTTPS_PROXY": "http://user:hunter2@proxy.test",
    "https_proxy": "http://proxy.test",
    "ADMIN_TOKEN": "hunter2",
    "MLFLOW_TRACKING_PASSWORD": "hunter2",
    "PYTHONPATH": "/elsewhere",
}


def test_uv_gets_indexes_and_proxies_and_nothing_else_of_ours() -> None:
    """Neither what would change where it writes, nor a token of the service's or the registry's."""
    assert set(builders_variables(ENVIRON)) == {
        *("PATH", "HOME", "UV_INDEX_CORP_PASSWORD", "UV_DEFAULT_INDEX"),
        *("HTTPS_PROXY", "https_proxy"),
    }


def test_packages_code_gets_none_of_it() -> None:
    """What runs while an environment is tried has no credential."""
    assert plain_variables(builders_variables(ENVIRON)) == {"PATH": "/bin", "HOME": "/root"}


def test_what_is_uvs_alone_is_taken_out() -> None:
    """No process that is started later has it."""
    environ = dict(ENVIRON)
    taken = withhold_for_builder(environ)
    assert taken["UV_INDEX_CORP_PASSWORD"] == "hunter2"  # noqa: S105 - made up
    assert not [name for name in environ if name.startswith("UV_")]
    assert environ["PATH"] == "/bin"


def test_the_operators_indexes_are_trusted() -> None:
    """Uv's own unless another one takes its place."""
    assert trusted_urls({}) == ("https://pypi.org/simple",)
    assert trusted_urls({"UV_INDEX": "corp=https://a.test/s https://b.test/s"}) == (
        *("https://pypi.org/simple", "https://a.test/s", "https://b.test/s"),
    )
    assert trusted_urls({"UV_DEFAULT_INDEX": "https://a.test/s"}) == ("https://a.test/s",)
