"""Rating models that any other model has to beat, one a file."""
