"""The loss on hinted patches: its rule, for every model, and what training makes of it."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from made_bags import CLASSES, make_bags, small_config
from torch.nn import functional as F

from napari_mhim import _parts
from napari_mhim.demo.figures import rank_auc
from napari_mhim.errors import ConfigError
from napari_mhim.events import Note
from napari_mhim.mil.bags import Bag
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.config import MODELS, RECIPES, TrainConfig
from napari_mhim.mil.hint_loss import add_hints, hint_loss, some_of, taught
from napari_mhim.mil.model import MILModel, MILOutput
from napari_mhim.mil.recipe import Losses
from napari_mhim.mil.start import keep_still
from napari_mhim.mil.train import EpochDone, fit

NAMES = _parts.names(MODELS)


def built(name: str, n_classes: int = 2) -> MILModel:
    torch.manual_seed(0)
    options = {"heads": 2, "head_dim": 4, "landmarks": 4} if name == "transmil" else {}
    return _parts.load(MODELS, name).build(12, n_classes, hidden=16, **options)


def test_it_is_the_mean_over_classes_of_the_mean_over_their_patches() -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        evidence = torch.randn(11, 3, generator=generator)
        classes = torch.randint(0, 3, (11,), generator=generator)
        by_class = [
            F.cross_entropy(evidence[classes == c], classes[classes == c])
            for c in classes.unique()
        ]
        wanted = torch.stack(by_class).mean()
        assert hint_loss(evidence, classes) == pytest.approx(float(wanted), abs=1e-6)


def test_a_large_region_counts_no_more_than_a_small_one() -> None:
    evidence = torch.tensor([[2.0, -2.0]] * 3 + [[1.0, 0.0]])
    classes = torch.tensor([0, 0, 0, 1])
    larger = torch.cat([evidence[:1].expand(50, 2), evidence])
    counted = torch.cat([torch.zeros(50, dtype=torch.int64), classes])
    assert hint_loss(larger, counted) == pytest.approx(
        float(hint_loss(evidence, classes)), abs=1e-6
    )


def test_the_order_of_patches_does_not_matter() -> None:
    evidence, classes = torch.randn(9, 2), torch.tensor([0, 1, 1, 0, 1, 1, 1, 1, 0])
    order = torch.randperm(9)
    assert hint_loss(evidence[order], classes[order]) == pytest.approx(
        float(hint_loss(evidence, classes)), abs=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_learnable_evidence_is_the_evidence(name: str) -> None:
    model, x = built(name).eval(), torch.randn(9, 12)
    output = model(x)
    assert not output.evidence.requires_grad
    assert torch.allclose(output.learnable_evidence(), output.evidence, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_evidence_of_a_patch_does_not_hang_on_the_rest_of_its_bag(name: str) -> None:
    # what lets hints be asked of the hinted patches alone, whatever a recipe hides
    model, x = built(name).eval(), torch.randn(30, 12)
    rows = torch.tensor([3, 17, 18])
    whole, alone = model(x).evidence[rows], model(x[rows]).evidence
    assert torch.allclose(whole, alone, atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_every_model_learns_from_hints_alone(name: str, n_classes: int) -> None:
    model, x = built(name, n_classes), torch.randn(24, 12)
    x[:12, 0] += 3
    classes = torch.tensor([n_classes - 1] * 12 + [0] * 12)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    nothing = Losses(total=torch.zeros(()))
    seen = []
    for _ in range(40):
        losses = add_hints(nothing, model.train(), x, classes, weight=0.5)
        half = 0.5 * float(losses.parts["hints"])
        assert float(losses.total.detach()) == pytest.approx(half)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        seen.append(float(losses.parts["hints"]))
    assert seen[-1] < 0.5 * seen[0]


@pytest.mark.parametrize("name", NAMES)
def test_one_hinted_patch_and_a_head_alone_are_enough(name: str) -> None:
    model = built(name)
    keep_still(model, "head")
    nothing = Losses(total=torch.zeros(()))
    one = torch.randn(1, 12), torch.ones(1, dtype=torch.int64)
    add_hints(nothing, model, *one, weight=1.0).total.backward()
    learning = [p for p in model.parameters() if p.requires_grad]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in learning)


def test_a_model_whose_evidence_carries_no_gradient_is_named() -> None:
    class Silent(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> MILOutput:
            n = len(x)
            scores = torch.zeros(1, n)
            return MILOutput(
                torch.zeros(2), scores, scores, scores, lambda: torch.zeros(n, 2)
            )

    with pytest.raises(ConfigError, match="set hint_weight to 0"):
        add_hints(
            Losses(total=torch.zeros(())),
            Silent(),
            torch.zeros(3, 12),
            torch.ones(3),
            1,
        )


def test_no_more_hints_than_fit_are_drawn_anew_each_epoch() -> None:
    bag = make_bags(2)[1]
    hints = taught([replace(bag, hints=np.zeros(60, np.int16))])[0]
    drawn = [some_of(hints, 10, 0, epoch, 0) for epoch in (0, 0, 1)]
    assert [len(one.rows) for one in drawn] == [10, 10, 10]
    assert (drawn[0].rows == drawn[1].rows).all()
    assert not (drawn[0].rows == drawn[2].rows).all()
    assert some_of(hints, 0, 0, 0, 0) is hints


# --- in training


def hinted_bags(n: int = 10) -> list[Bag]:
    """Hint the hard lesion of every second positive slide, and what is beside it."""
    made = []
    for index, bag in enumerate(make_bags(n)):
        hints = np.full(len(bag), -1, np.int16)
        hints[6:8], hints[20:50] = 1, 0
        is_told = index % 4 == 3
        made.append(replace(bag, hints=hints) if is_told else bag)
    return made


def train(run: Path, config: TrainConfig, bags: list[Bag]) -> list:
    return list(fit(bags[:6], bags[6:], CLASSES, config, run))


def weights_of(run: Path) -> bytes:
    return (run / "bundle" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("recipe", _parts.names(RECIPES))
def test_hints_are_a_loss_of_their_own_in_every_recipe(
    tmp_path: Path, recipe: str
) -> None:
    options = {} if recipe == "plain" else {"mask_ratio_high": 0.1}
    config = small_config(
        recipe=recipe, recipe_options=options, epochs=2, hint_weight=0.5
    )
    events = train(tmp_path / "run", config, hinted_bags())
    done = [e for e in events if isinstance(e, EpochDone)]
    assert all(e.losses["hints"] > 0 for e in done if e.stage == recipe)
    assert not any("hints" in e.losses for e in done if e.stage == "baseline")


def test_off_is_bit_for_bit_what_it_was_without_regions(tmp_path: Path) -> None:
    config = small_config(epochs=2)
    train(tmp_path / "bare", config, make_bags(10))
    train(tmp_path / "off", config, hinted_bags())
    assert weights_of(tmp_path / "bare") == weights_of(tmp_path / "off")
    assert not (tmp_path / "off" / "hints.json").exists()


def test_on_without_a_hint_is_bit_for_bit_off(tmp_path: Path) -> None:
    train(tmp_path / "off", small_config(epochs=2), make_bags(10))
    train(tmp_path / "on", small_config(epochs=2, hint_weight=1.0), make_bags(10))
    assert weights_of(tmp_path / "on") == weights_of(tmp_path / "off")


def test_a_stopped_run_comes_to_the_same_bits_whatever_was_drawn_since(
    tmp_path: Path,
) -> None:
    config = small_config(epochs=2, hint_weight=0.5, max_instances=20)
    bags = hinted_bags()
    train(tmp_path / "whole", config, bags)
    run = tmp_path / "stopped"
    epochs = fit(bags[:6], bags[6:], CLASSES, config, run)
    assert isinstance(list(islice(epochs, 2))[-1], EpochDone | Note)
    epochs.close()  # it holds the run's folder
    events = train(run, config, make_bags(10))
    assert any("hints it began with" in e.text for e in events if isinstance(e, Note))
    assert weights_of(run) == weights_of(tmp_path / "whole")


def test_bundle_and_card_say_how_much_was_hinted_and_name_no_slide(
    tmp_path: Path,
) -> None:
    config = small_config(epochs=1, hint_weight=0.25)
    done = train(tmp_path / "run", config, hinted_bags())[-1]
    bundle = Bundle.open(done.bundle_path)
    assert bundle.config.trained["hints"] == {
        "weight": 0.25,
        "slides": 1,
        "patches": {"tumour": 2, "normal": 30},
    }
    assert "2 patches tumour, 30 normal on 1 slide; weight 0.25" in bundle.card
    assert "slide-03" not in bundle.card
    # a teacher is not told, or it would find the hard ones easy and hide them
    assert "Region hints" not in Bundle.open(done.baseline_path).card


def patch_auc(bundle: Bundle, bags: list[Bag]) -> float:
    """Rank the hard patches of slides by evidence for the last class."""
    student, areas = bundle.student("cpu"), []
    for bag in bags:
        with torch.no_grad():
            evidence = student(torch.from_numpy(bag.features)).evidence[:, 1].numpy()
        rest = np.r_[evidence[:6], evidence[8:]]
        areas.append(rank_auc(evidence[6:8], rest))
    return float(np.mean(areas))


def faint(bags: list[Bag]) -> list[Bag]:
    """Make hard lesions so faint that few slides do not tell them from chance."""
    made = []
    for bag in bags:
        features = bag.features.copy()
        features[6:8, 1] -= 3 * (bag.label or 0)
        made.append(replace(bag, features=features))
    return made


@pytest.mark.parametrize("seed", range(3))
def test_hints_raise_the_evidence_of_patches_like_them_on_slides_never_seen(
    tmp_path: Path, seed: int
) -> None:
    config = small_config(recipe="plain", recipe_options={}, epochs=10, lr=5e-3)
    bags = faint(hinted_bags(16))
    unseen = [bag for bag in faint(make_bags(60))[16:] if int(bag.name[-2:]) % 4 == 3]
    areas = []
    for weight in (0.0, 1.0):
        settings = replace(config, settle=1.0, seed=seed, hint_weight=weight)
        run = tmp_path / f"weight {weight}"
        done = list(fit(bags[:12], bags[12:], CLASSES, settings, run))[-1]
        areas.append(patch_auc(Bundle.open(done.bundle_path), unseen))
    assert areas[1] > areas[0] + 0.05
