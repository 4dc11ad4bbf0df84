"""What can be set from outside, checked whole: the service's settings and each model's."""

from collections.abc import Mapping

import msgspec

from service.settings.deployment import DeploymentSettings
from service.settings.errors import SettingsError
from service.settings.service import ServiceSettings
from service.settings.texts import shown_setting

UNNAMED = "default"
"""The name of a deployment that follows a run which nobody has named."""

FIELDS = (*msgspec.structs.fields(DeploymentSettings), *msgspec.structs.fields(ServiceSettings))
"""Every setting; its variable has its name in upper case."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The service's settings, and those of each deployment under its name."""

    service: ServiceSettings
    deployments: Mapping[str, DeploymentSettings]
    defaults: DeploymentSettings
    """The settings of a deployment that says nothing else; their pointer means nothing."""
    default: str
    """The name of the default deployment: DEFAULT_MODEL, or the only one; '' for none."""
    left_out: tuple[str, ...] = ()
    """Variables, each with its value, that mean something to another program and nothing here."""

    @classmethod
    def of(
        cls,
        service: ServiceSettings,
        deployments: Mapping[str, DeploymentSettings],
        defaults: DeploymentSettings,
    ) -> "Settings":
        """Return the settings of a service with these deployments, of which there is at least one.

        Raises:
            SettingsError: DEFAULT_MODEL is none of them.
        """
        if service.default_model and service.default_model not in deployments:
            raise SettingsError(
                f"{shown_setting('default_model', service.default_model)} is wrong: allowed is "
                f"one of {', '.join(deployments)}"
            )
        default = next(iter(deployments)) if len(deployments) == 1 else service.default_model
        return cls(service=service, deployments=deployments, defaults=defaults, default=default)

    @property
    def workers(self) -> list[int]:
        """The workers of each deployment, 0 where their number is left to the service."""
        return [one.workers for one in self.deployments.values()]

    @property
    def drain_timeout_s(self) -> float:
        """Seconds that the service has to end: those of the deployment that has the most."""
        return max(one.drain_timeout_s for one in self.deployments.values())
