"""Labels with probabilities, given and random."""

import numpy as np


def binary(labels: list[int], scores: list[float]) -> tuple[np.ndarray, np.ndarray]:
    column = np.array(scores, float)
    return np.array(labels), np.stack([1 - column, column], axis=1)


def random_set(seed: int, n_classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    n = int(generator.integers(2 * n_classes, 40))
    labels = np.concatenate(
        [np.arange(n_classes), generator.integers(0, n_classes, n - n_classes)]
    )
    raw = generator.integers(1, 9, (n, n_classes)) / 8  # few values: ties are common
    return labels, raw / raw.sum(axis=1, keepdims=True)
