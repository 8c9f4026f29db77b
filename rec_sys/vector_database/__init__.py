"""All products as one searchable folder, the vectorbase."""
