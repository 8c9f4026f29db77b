"""The same work on several machines, with Ray as the engine."""
