"""How good the recommender is, beside tuned baselines, and proof that nothing leaked."""
