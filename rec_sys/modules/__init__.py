"""The network (``graph_model``), the other evidences (``features``, ``match``, ``product_graph``),
the combiner that adds them up, and ``full_catalogue``, which ranks products by them."""
