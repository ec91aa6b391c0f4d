"""The fused engine: several trainings as one, steps as a few large operations, a file a backend."""
