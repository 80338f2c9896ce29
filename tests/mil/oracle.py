"""One step of MHIM and of MHIM-v2 from the papers' equations: numpy and loops, one number
at a time where it can be. It shares no line with the package."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, exp, floor, log, sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


@dataclass(frozen=True)
class Said:
    """What a model says of a bag."""

    streams: list[Array]
    """Logits that the loss averages over, each of shape (C,)."""
    feature: Array
    """What the consistency loss compares, shape (E, D)."""
    salience: list[float]
    """What a teacher masks by, one number an instance."""
    class_logits: Array
    """What each instance says of each class, shape (N, C)."""
    attention: list[float]
    """Largest attention any branch pays each instance."""


def softmax(values: Array) -> Array:
    shares = [exp(value - max(values)) for value in values]
    return np.array(shares) / sum(shares)


def linear(rows: Array, weights: Weights, name: str) -> Array:
    bias = weights.get(f"{name}.bias", 0.0)
    return np.array([weights[f"{name}.weight"] @ row + bias for row in rows])


def embed(x: Array, weights: Weights) -> Array:
    return np.maximum(linear(x, weights, "projection.0"), 0)


def abmil(h: Array, weights: Weights) -> Said:
    """z = sum of a_i h_i, a = softmax of w2 relu(W1 h_i); logits = W z + b."""
    hidden = np.maximum(linear(h, weights, "attention.hidden"), 0)
    raw = linear(hidden, weights, "attention.score")[:, 0]
    attention = softmax(raw)
    pooled = sum(a * row for a, row in zip(attention, h, strict=True))
    shares = np.array([a * row for a, row in zip(attention, h, strict=True)])
    return Said(
        streams=[weights["head.weight"] @ pooled + weights["head.bias"]],
        feature=pooled[None],
        salience=attention.tolist(),
        class_logits=shares @ weights["head.weight"].T,  # the bias is left out
        attention=attention.tolist(),
    )


def dsmil(h: Array, weights: Weights) -> Said:
    """Judge each instance; pool around the likeliest of each class; judge the pools."""
    judged = linear(h, weights, "instance_classifier")  # (N, C)
    hidden = np.maximum(linear(h, weights, "query.0"), 0)
    queries = np.tanh(linear(hidden, weights, "query.2"))
    values = np.maximum(linear(h, weights, "value.0"), 0)
    branches, pools = [], []
    for c in range(judged.shape[1]):
        critical = queries[int(np.argmax(judged[:, c]))]
        likeness = np.array([q @ critical / sqrt(len(q)) for q in queries])
        branches.append(softmax(likeness))
        pools.append(sum(a * v for a, v in zip(branches[-1], values, strict=True)))
    bags = np.array(pools)  # (C, D)
    kernel, bias = weights["bag_classifier.weight"], weights["bag_classifier.bias"]
    logits = np.array([(k * bags).sum() + b for k, b in zip(kernel, bias, strict=True)])
    return Said(
        streams=[logits, judged.max(axis=0)],
        feature=bags,
        salience=judged.max(axis=1).tolist(),
        class_logits=judged,
        attention=np.array(branches).max(axis=0).tolist(),
    )


MODELS = {"abmil": abmil, "dsmil": dsmil}


def classification(said: Said, label: int) -> float:
    losses = [-log(softmax(logits)[label]) for logits in said.streams]
    return sum(losses) / len(losses)


def consistency(student: Said, teacher: Said, tau_s: float, tau_t: float) -> float:
    """-sum of softmax(f_t / tau_t) log softmax(f_s / tau_s), the mean over rows."""
    losses = []
    for ours, theirs in zip(student.feature, teacher.feature, strict=True):
        target, shares = softmax(theirs / tau_t), softmax(ours / tau_s)
        losses.append(-sum(t * log(s) for t, s in zip(target, shares, strict=True)))
    return sum(losses) / len(losses)


def top(scores: list[float], count: int) -> set[int]:
    return set(sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count])


def hidden(
    scores: list[float],
    ratios: Mapping[str, float],
    keys: tuple[list[float], list[float]],
) -> set[int]:
    """Random, low, high: each of the whole bag, in the union; one is always left."""
    n = len(scores)

    def size(ratio: float) -> int:
        return min(ceil(n * ratio), n - 1)

    by_chance = top([-key for key in keys[0]], size(ratios["random"]))
    low = top([-score for score in scores], size(ratios["low"]))
    share, high_ratio = ratios["share"], ratios["high"]
    if share < 1:
        part, wanted = high_ratio / share, share
        if part > 1:
            part, wanted = 1.0, high_ratio
        candidates = top(scores, ceil(n * part))
        drawn = sorted(candidates, key=lambda i: keys[1][i])
        high = set(drawn[: min(ceil(len(candidates) * wanted), n - 1)])
    else:
        high = top(scores, size(high_ratio))
    gone = by_chance | low | high
    if len(gone) == n:  # the most salient outside the high part stays
        gone -= {min(set(range(n)) - high, key=lambda i: (-scores[i], i))}
    return gone


def likeliest(class_logits: Array) -> list[float]:
    """The probability of each instance's likeliest class."""
    return [float(max(softmax(row))) for row in class_logits]


def split(n: int, stay_share: float, noise: list[float]) -> tuple[list[int], list[int]]:
    """Draw those that stay: the smallest of the noise; at least one."""
    order = sorted(range(n), key=lambda i: noise[i])
    count = max(1, floor(n * stay_share))
    return sorted(order[:count]), sorted(order[count:])


def normed(rows: Array, weights: Weights) -> Array:
    found = []
    for row in rows:
        deviation = sqrt(row.var() + 1e-5)
        found.append((row - row.mean()) / deviation)
    return np.array(found) * weights["norm.weight"] + weights["norm.bias"]


def recycle(queries: Array, rows: Array, weights: Weights, heads: int = 8) -> Array:
    """Attention of the queries to the rows, head by head and query by query."""
    asked = normed(queries, weights) @ weights["query.weight"].T
    told = normed(rows, weights) @ weights["key_value.weight"].T
    keys, values = np.split(told, 2, axis=1)
    width = asked.shape[1] // heads
    tokens = []
    for query in asked:
        joined = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            likeness = [query[part] @ key[part] / sqrt(width) for key in keys]
            shares = softmax(np.array(likeness))
            joined.append(sum(a * v[part] for a, v in zip(shares, values, strict=True)))
        tokens.append(np.concatenate(joined))
    return linear(np.array(tokens), weights, "output")
