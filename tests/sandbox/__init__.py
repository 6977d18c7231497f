"""The stand-in for Asana."""
