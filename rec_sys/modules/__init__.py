"""The network, the other evidences, the combiner that adds them up, objectives and checkpoints.

The network: ``graph_model``, ``objectives``, ``rating_bias``, ``calibration``. What ``evidences``
are made of: ``features``, ``match``, ``product_graph``; ``full_catalogue`` ranks products by them.
"""
