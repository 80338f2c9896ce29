"""One file, one MIL model: ``build(in_dim, n_classes, **config) -> MILModel``."""
