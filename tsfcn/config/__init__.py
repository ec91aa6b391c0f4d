"""What can be chosen: the types and ranges of conf/, and how overrides become the settings of a run."""
