"""Models: train, predict and evaluate bags of feature vectors."""
