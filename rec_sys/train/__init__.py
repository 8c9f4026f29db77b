"""From a data set to a trained, tracked model."""
