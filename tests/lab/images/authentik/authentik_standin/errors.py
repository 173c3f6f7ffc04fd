"""What may be wrong with what the stand-in is given."""

from typing import Any


class SettingsError(Exception):
    """A setting that authentik does not know, or cannot work with."""


class Invalid(Exception):
    """An object that authentik's serializers would refuse: messages by field."""

    def __init__(self, errors: dict[str, Any]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in errors.items()))
        self.errors = errors


class BlueprintError(Exception):
    """A blueprint that is not applied: which entry, and why."""
