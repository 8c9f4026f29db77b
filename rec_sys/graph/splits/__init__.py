"""Ways to split a data set; each is a class with ``name`` and ``split(graph, seen) -> Split``.

``seen`` is None, or what the weights have seen that a training starts from (`SeenReviews`): what
they have learnt from is then not measured.
"""
