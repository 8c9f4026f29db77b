"""Ways to split a data set; each is a class with ``name`` and ``split(graph) -> Split``."""
