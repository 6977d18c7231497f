"""A stand-in for Asana, to try the tap and to test pipelines on: `Sandbox` serves what `Organization` imagines."""

from .organization import Organization
from .server import Sandbox

__all__ = ["Organization", "Sandbox"]
