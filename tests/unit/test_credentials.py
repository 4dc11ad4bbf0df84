from service.credentials import NO_CREDENTIALS, withhold

EVERYTHING = {
    "PATH": "/bin",
    "UV_DEFAULT_INDEX": "https://user:word@packages.test/simple",
    "UV_OFFLINE": "1",
    "HTTPS_PROXY": "http://user:word@proxy.test",
    "MLFLOW_TRACKING_TOKEN": "t",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=k",
    "ADMIN_TOKEN": "a",
    "PLAIN": "1",
}


def test_each_kind_of_process_gets_its_own_and_models_none() -> None:
    """What is taken is in the environment no more; a proxy's password is uv's as well."""
    environ = dict(EVERYTHING)
    found = withhold("", environ)
    assert environ == {"PATH": "/bin", "PLAIN": "1"}
    assert set(found.registry) == {"HTTPS_PROXY", "MLFLOW_TRACKING_TOKEN"}
    assert set(found.builder) == {"PATH", "UV_DEFAULT_INDEX", "UV_OFFLINE", "HTTPS_PROXY"}
    assert set(found.exporters) == {"OTEL_EXPORTER_OTLP_HEADERS"}
    assert found.names == ["HTTPS_PROXY", "MLFLOW_TRACKING_TOKEN", "UV_DEFAULT_INDEX", "UV_OFFLINE"]
    assert NO_CREDENTIALS.names == []


def test_no_model_gets_what_is_uvs_whatever_worker_env_says() -> None:
    """An index's address may have a password."""
    environ = dict(EVERYTHING)
    withhold("UV_*", environ)
    assert not [name for name in environ if name.startswith("UV_")]
