"""Reviews become the edges of a bipartite user-product graph, which is split and batched."""
