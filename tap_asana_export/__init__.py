"""A Singer tap for Asana's bulk exports."""
