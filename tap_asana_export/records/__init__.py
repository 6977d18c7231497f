"""From the bytes of an export file to the text of records."""
