"""From a dataset's name to its arrays, and the papers' figures."""
