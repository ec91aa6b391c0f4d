"""Result tables and prediction files that other people and other tools write, read right or refused in one line."""
