"""Third floor: reviews become the edges of a bipartite user-product graph."""
