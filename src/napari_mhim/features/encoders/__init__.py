"""One file, one encoder: ``build(device, **config) -> Encoder``."""
