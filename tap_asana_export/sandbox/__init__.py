"""A stand-in for Asana, to try the tap and pipelines on: `Sandbox` serves what `Organization` imagines."""

from tap_asana_export.sandbox.organization import Organization
from tap_asana_export.sandbox.server import Sandbox

__all__ = ["Organization", "Sandbox"]
