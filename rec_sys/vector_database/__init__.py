"""All products as one folder, the vectorbase: what answers are made of, and a FAISS index."""
