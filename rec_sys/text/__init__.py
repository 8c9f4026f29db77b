"""Second floor: every distinct text becomes one vector, once."""
