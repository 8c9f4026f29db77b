"""Eighth floor: the same work on several machines, with Ray as the engine."""
