"""HTTP with Asana and its storage. Knows no Singer, no settings, and no line of a file."""
