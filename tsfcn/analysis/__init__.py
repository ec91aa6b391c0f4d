"""From records to tables, tests and verdicts."""
