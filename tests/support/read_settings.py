"""What settings say, for tests."""

import pytest

from service.settings.deployment import DeploymentSettings
from service.settings.environment import load_settings
from service.settings.errors import SettingsError
from service.settings.settings import Settings


def the_one(settings: Settings) -> DeploymentSettings:
    """Return the settings of the only deployment."""
    (deployment,) = settings.deployments.values()
    return deployment


def refused(**values: str) -> str:
    """Return the line that these values are refused with."""
    with pytest.raises(SettingsError) as caught:
        load_settings({name.upper(): value for name, value in values.items()})
    line = str(caught.value)
    assert "\n" not in line
    return line
