"""One step of both recipes against a second version written from the papers' equations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from napari_mhim import _parts
from napari_mhim.mil import masking
from napari_mhim.mil.config import MODELS
from napari_mhim.mil.recipes import mhim, mhim_v2
from napari_mhim.mil.recipes.mhim_v2 import training as v2

WIDTH = 5
# what is asked of every ratio and share
ratios = st.sampled_from([0.0, 0.03, 0.2, 0.5, 0.9])
shares = st.sampled_from([0.3, 0.5, 1.0])
weights_of_consistency = st.sampled_from([0.0, 0.1, 0.5])
temperatures = st.sampled_from([0.1, 0.7, 2.0])
every_model = pytest.mark.parametrize("name", sorted(oracle.MODELS))


@every_model
@given(
    n=st.integers(1, 24),
    high=ratios,
    low=ratios,
    random=ratios,
    share=shares,
    alpha=weights_of_consistency,
    tau_s=temperatures,
    tau_t=temperatures,
    seed=st.integers(0, 2**20),
)
def test_a_step_of_mhim_is_that_of_the_paper(
    name: str, n: int, high: float, low: float, random: float, share: float, **rest: Any
):
    ratio = {"high": high, "low": low, "random": random, "share": share}
    recipe, x, chance = made(mhim, name, n, ratio, **rest)
    label = rest["seed"] % 3
    with drawing(chance):
        losses = recipe.losses(x, label, 0, 10)
    student, teacher = numbers(recipe.student), numbers(recipe.teacher)
    bag, say = x.numpy(), oracle.MODELS[name]
    told = say(oracle.embed(bag, teacher), teacher)
    keys = (chance[:n].tolist(), chance[n : 2 * n].tolist())
    gone = oracle.hidden(told.salience, ratio, keys)
    kept = [i for i in range(n) if i not in gone]
    said = say(oracle.embed(bag[kept], student), student)
    assert_losses(losses, said, told, label, rest)
    assert losses.kept == len(kept)


@every_model
@given(
    n=st.integers(1, 24),
    high=ratios,
    low=ratios,
    stay=st.sampled_from([0.1, 0.5, 0.8, 1.0]),
    tokens=st.integers(1, 3),
    by=st.sampled_from(["class", "attention"]),
    alpha=weights_of_consistency,
    tau_s=temperatures,
    tau_t=temperatures,
    seed=st.integers(0, 2**20),
)
def test_a_step_of_mhim_v2_is_that_of_the_authors_code(
    name: str,
    n: int,
    high: float,
    low: float,
    stay: float,
    tokens: int,
    by: str,
    **rest: Any,
):
    ratio = {"high": high, "low": low, "random": 0.0, "share": 1.0}
    options = {
        "stay_share": stay,
        "recycle_tokens": tokens,
        "instance_scores": by,
        "recycle_momentum": 0.9,
    }
    recipe, x, chance = made(mhim_v2, name, n, ratio, **rest, **options)
    before = recipe.recycle.queries.clone().numpy()
    label = rest["seed"] % 3
    with drawing(chance):
        losses = recipe.losses(x, label, 0, 10)
    student, teacher = numbers(recipe.student), numbers(recipe.teacher)
    network, bag, say = numbers(recipe.recycle), x.numpy(), oracle.MODELS[name]
    told = say(oracle.embed(bag, teacher), teacher)
    scores = {
        "attention": told.attention,
        # dsmil's are its largest logits, as in version 1
        "class": told.salience
        if name == "dsmil"
        else oracle.likeliest(told.class_logits),
    }[by]
    gone = oracle.hidden(scores, ratio, ([0.0] * n, [0.0] * n))
    h = oracle.embed(bag[[i for i in range(n) if i not in gone]], student)
    stays, recycled = oracle.split(len(h), stay, chance.tolist())
    seen, moved = h[stays], before
    if recycled:
        made_tokens = oracle.recycle(before, h[recycled], network)
        seen, moved = (
            np.concatenate([seen, made_tokens]),
            0.9 * before + 0.1 * made_tokens,
        )
    assert_losses(losses, say(seen, student), told, label, rest)
    np.testing.assert_allclose(recipe.recycle.queries, moved, rtol=1e-9, atol=1e-12)


def made(
    recipe_part: Any,
    name: str,
    n: int,
    ratio: dict[str, float],
    *,
    alpha: float,
    tau_s: float,
    tau_t: float,
    seed: int,
    **options: Any,
) -> tuple[Any, Tensor, Tensor]:
    """Build a recipe in float64 around random models, a bag, and the chance it will meet."""
    torch.manual_seed(seed)
    built = _parts.load(MODELS, name).build(WIDTH, 3, hidden=16, dropout=0.0)
    config = recipe_part.Config(
        mask_ratio_high=ratio["high"],
        mask_ratio_low=ratio["low"],
        mask_ratio_random=ratio["random"],
        high_keep_share=ratio["share"],
        consistency_weight=alpha,
        temperature_student=tau_s,
        temperature_teacher=tau_t,
        teacher_init="student",
        student_init="none",
        smallest_masked=1,
        **options,
    )
    recipe = recipe_part.build(built, config).double()
    for parameter in recipe.teacher.parameters():  # a teacher of its own
        nn.init.normal_(parameter, std=0.5)
    for module in recipe.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return recipe, torch.randn(n, WIDTH).double(), torch.rand(2 * n)


@contextmanager
def drawing(chance: Tensor) -> Iterator[None]:
    """Give chance as it is told, wherever the recipes draw."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (masking, v2):
            patch.setattr(module, "random_keys", lambda n, *_: chance[:n])
        yield


def numbers(module: nn.Module) -> oracle.Weights:
    return {key: value.numpy() for key, value in module.state_dict().items()}


def assert_losses(
    losses: Any, said: Any, told: Any, label: int, rest: dict[str, Any]
) -> None:
    wanted = oracle.classification(said, label)
    assert losses.parts["classification"].item() == pytest.approx(wanted, rel=1e-9)
    if rest["alpha"] > 0:
        tau_s, tau_t = rest["tau_s"], rest["tau_t"]
        apart = oracle.consistency(said, told, tau_s, tau_t)
        assert losses.parts["consistency"].item() == pytest.approx(apart, rel=1e-9)
        wanted += rest["alpha"] * apart
    assert losses.total.item() == pytest.approx(wanted, rel=1e-9)
