"""How a wrong setting is told."""


class SettingsError(Exception):
    """A wrong setting, in one line: which one, what is wrong, what is allowed."""
