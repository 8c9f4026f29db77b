"""Fifth floor: all products as one searchable folder, the vectorbase."""
