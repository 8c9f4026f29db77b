"""The network, the other evidences, the combiner that adds them up, objectives and checkpoints.

- The network: ``graph_model``; how it learns: ``recommender_module``, ``objectives``, ``metrics``;
  its stars: ``rating_bias`` at the start, ``calibration`` at the end.
- Evidences: ``evidences``, ``features``, ``product_graph``, ``ease`` (its equations), ``match``,
  ``wishes``; ``combiner`` adds them up, ``full_catalogue`` ranks all products by them.
- What is left of a training, and what runs it: ``checkpoint``, ``trusted_settings``,
  ``model_export``, ``inference_backends``.
"""
