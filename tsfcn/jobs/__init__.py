"""From a plan to records: who trains what, where, and what it leaves."""
