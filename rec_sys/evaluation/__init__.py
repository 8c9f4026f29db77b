"""Sixth floor: how good it is, honestly."""
