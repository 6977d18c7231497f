"""A stand-in for Asana, to try the tap and pipelines with: `Sandbox` serves the objects of an `Organization`."""

from tap_asana_export.sandbox.organization import Organization
from tap_asana_export.sandbox.server import Sandbox

__all__ = ["Organization", "Sandbox"]
