"""The sections of a page: each module returns what the template of the same name shows."""
