"""What the variables of OpenTelemetry have exported."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import pytest

from service.settings import exported
from service.settings.errors import SettingsError
from service.settings.exported import Exported, read_exported

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HERE = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Exported()),
        ({ENDPOINT: ""}, Exported()),
        ({ENDPOINT: HERE}, Exported(traces=True, metrics=True)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": HERE}, Exported(traces=True)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": HERE}, Exported(metrics=True)),
        ({ENDPOINT: HERE, "OTEL_SDK_DISABLED": "True"}, Exported()),
        ({ENDPOINT: HERE, "OTEL_TRACES_EXPORTER": "none"}, Exported(metrics=True)),
        ({ENDPOINT: HERE, "OTEL_METRICS_EXPORTER": "console"}, Exported(traces=True)),
        (
            {
                ENDPOINT: HERE,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_BSP_MAX_QUEUE_SIZE": "100",
                "OTEL_BSP_SCHEDULE_DELAY": "50",
                "OTEL_METRIC_EXPORT_INTERVAL": "1500",
            },
            Exported(traces=True, metrics=True, queue=100, batch=100, delay_s=0.05, interval_s=1.5),
        ),
    ],
)
def test_an_endpoint_turns_it_on(environ: Mapping[str, str], expected: Exported) -> None:
    """For both signals or one, unless another variable says that it is not to be."""
    assert read_exported(environ) == expected


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({ENDPOINT: "localhost:4318"}, "an address by http or https"),
        ({ENDPOINT: "http://[::1"}, "an address by http or https"),
        ({ENDPOINT: "https://me:hunter2@collector.example"}, "OTEL_EXPORTER_OTLP_HEADERS"),
        ({ENDPOINT: "https://collector.example/?key=hunter2"}, "OTEL_EXPORTER_OTLP_HEADERS"),
        ({ENDPOINT: HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
        ({ENDPOINT: HERE, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, "http/protobuf"),
        ({ENDPOINT: HERE, "OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "a whole number from 1 on"),
        ({ENDPOINT: HERE, "OTEL_METRIC_EXPORT_INTERVAL": "1e3"}, "a whole number from 1 on"),
    ],
)
def test_what_is_wrong_ends_the_start(environ: Mapping[str, str], said: str) -> None:
    """By a sentence that says what is allowed, and shows no credential."""
    with pytest.raises(SettingsError, match=said) as raised:
        read_exported(environ)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("name", [ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_without_the_extra_one_sentence_names_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the variable."""

    def find(package: str) -> Any:
        return None if package.endswith("otlp.proto.http") else find_spec(package)

    monkeypatch.setattr(exported, "find_spec", find)
    with pytest.raises(SettingsError) as raised:
        read_exported({name: HERE})
    assert str(raised.value) == (
        f"{name} is set, and what it needs is not installed: pip install 'mlflow-hotswap[otel]'"
    )
