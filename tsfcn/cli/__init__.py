"""The commands, a file a verb."""
