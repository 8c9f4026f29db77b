"""The network, the other evidences, the combiner that adds them up, objectives and checkpoints.

The network: ``graph_model``, ``recommender_module``, ``objectives``, ``rating_bias`` and
``calibration`` (its stars). Evidences: ``evidences``, ``features``, ``product_graph``, ``ease``,
``match``, ``wishes``; ``full_catalogue`` ranks by all. What runs a trained one: ``checkpoint``,
``model_export``, ``inference_backends``.
"""
