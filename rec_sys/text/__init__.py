"""Every distinct text becomes one vector, once."""
