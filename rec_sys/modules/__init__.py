"""Fourth floor: the network that turns a neighbourhood into embeddings, and its export."""
