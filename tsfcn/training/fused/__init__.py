"""The fused engine: several trainings as one program, each step as a few large operations, one file per backend."""
