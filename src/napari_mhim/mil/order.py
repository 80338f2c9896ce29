"""In which order training slides are shown, and how rare classes are helped."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_mhim.mil.config import Balance


def epoch_order(
    labels: Sequence[int], epoch: int, seed: int, balance: Balance
) -> NDArray[np.int64]:
    """Give the slides of one epoch in the order they are shown.

    Parameters
    ----------
    labels : sequence of int
        Class of each of the S training slides.
    epoch : int
        Which epoch, from 0: the order follows from it and the seed alone, so a resumed
        run needs no memory of it.
    seed : int
        The run's seed.
    balance : {"sampling", "loss", "none"}
        With "sampling" the classes take turns, and a rare class starts again when it is
        through; classes of equal size are then shown whole.

    Returns
    -------
    ndarray, shape (S,), int64
        Indices of slides; a permutation unless classes are balanced by sampling.
    """
    generator = np.random.default_rng([seed, epoch])
    if balance != "sampling":
        return generator.permutation(len(labels))
    members = [np.flatnonzero(np.asarray(labels) == c) for c in sorted(set(labels))]
    longest = -(-len(labels) // len(members))  # slides of each class, rounded up
    columns = []
    for some in members:
        rounds = -(-longest // len(some))
        drawn = np.concatenate([generator.permutation(some) for _ in range(rounds)])
        columns.append(drawn[:longest])
    # turns by chance: a strict alternation would show the classes in a fixed rhythm
    turns = [generator.permutation(np.array(row)) for row in zip(*columns, strict=True)]
    return np.concatenate(turns)[: len(labels)]


def drawn_instances(
    n: int, most: int, slide: int, epoch: int, seed: int
) -> NDArray[np.int64]:
    """Draw the instances of a large bag that one epoch trains on.

    Parameters
    ----------
    n : int
        Instances of the bag, N.
    most : int
        How many to draw, at most N.
    slide : int
        Index of the slide: each has draws of its own.
    epoch : int
        Which epoch, from 0; as in :func:`epoch_order`, nothing needs to be remembered.
    seed : int
        The run's seed.

    Returns
    -------
    ndarray, shape (most,), int64
        Indices of instances, ascending: to some models their order matters.
    """
    generator = np.random.default_rng([seed, epoch, slide])
    return np.sort(generator.choice(n, most, replace=False))


def class_weights(labels: Sequence[int], balance: Balance) -> dict[int, float]:
    """Give the weight of each class in the loss.

    Parameters
    ----------
    labels : sequence of int
        Class of each training slide.
    balance : {"sampling", "loss", "none"}
        Only "loss" gives other weights than 1.

    Returns
    -------
    dict of int to float
        Class to weight; their mean over the slides is 1.
    """
    there = sorted(set(labels))
    if balance != "loss":
        return dict.fromkeys(there, 1.0)
    return {c: len(labels) / (len(there) * list(labels).count(c)) for c in there}
