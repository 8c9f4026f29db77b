"""Raw files become one clean review table and one product table."""
