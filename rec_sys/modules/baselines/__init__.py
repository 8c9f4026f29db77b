"""Models without a network, strong ones among them: what ours must beat to be worth its price."""
