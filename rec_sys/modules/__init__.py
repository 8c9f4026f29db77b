"""The network, the other evidences, the combiner that adds them up, objectives and checkpoints."""
