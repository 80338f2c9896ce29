"""One file, one training recipe: ``build(model, config, baseline) -> Recipe``."""
