"""The network, the other evidences, the combiner that adds them up, objectives and checkpoints.

The network: ``graph_model``, ``objectives``, ``rating_bias``, ``calibration``. Evidences: ``ease``,
``match``, ``wishes`` and others; ``full_catalogue`` ranks all products by them.
"""
