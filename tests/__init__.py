"""The tests: a package, so that another installed package of the name `tests` does not hide them."""
