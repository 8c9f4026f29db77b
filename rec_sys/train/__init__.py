"""Fifth floor: from a data set to a trained, tracked model."""
