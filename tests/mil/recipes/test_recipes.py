"""Every recipe of the folder goes through the same contract."""

import json
import subprocess
import sys
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_mhim import _parts
from napari_mhim.mil.models import abmil
from napari_mhim.mil.recipe import Recipe

RECIPES = "napari_mhim.mil.recipes"
every_recipe = pytest.mark.parametrize("name", _parts.names(RECIPES))


def build(name: str, seed: int = 0, **options: Any) -> Recipe:
    torch.manual_seed(seed)
    part = _parts.load(RECIPES, name)
    config = part.Config(**options)
    model, baseline = (abmil.build(6, 3, hidden=8) for _ in range(2))
    recipe: Recipe = part.build(model, config, baseline.state_dict())
    recipe.prepare(bags())
    return recipe


def bags() -> list[tuple[Tensor, int]]:
    generator = torch.Generator().manual_seed(5)
    return [(torch.rand(30, 6, generator=generator), label) for label in (0, 1, 2)]


def run(recipe: Recipe, steps: range, optimiser: torch.optim.Optimizer) -> list[float]:
    totals = []
    for step in steps:
        torch.manual_seed(step)  # dropout and chance
        losses = recipe.losses(*bags()[step % 3], step, 20)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        recipe.after_step(step, 20)
        totals.append(losses.total.item())
    return totals


def adam(recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.Adam(recipe.student.parameters(), lr=1e-2)


@every_recipe
def test_names_its_settings_with_defaults_and_a_line_each(name: str):
    config = _parts.load(RECIPES, name).Config
    assert is_dataclass(config)
    assert config() == config()
    with pytest.raises(AttributeError):
        config().anything = 1
    assert config.__doc__
    assert all(field.type for field in fields(config))


@every_recipe
def test_is_listed_and_configured_without_torch(name: str):
    code = (
        "import sys\n"
        f"from {RECIPES}.{name} import Config, build, needs_baseline\n"
        "needs_baseline(Config())\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@every_recipe
@pytest.mark.parametrize("n", [1, 2, 3, 5, 100])
def test_gives_a_loss_for_a_bag_of_any_size(name: str, n: int):
    recipe = build(name)
    losses = recipe.losses(torch.rand(n, 6), 2, 0, 10)
    losses.total.backward()
    assert losses.total.shape == ()
    assert losses.total.isfinite()
    assert losses.total_instances == n
    assert 1 <= losses.kept <= n
    assert not any(part.requires_grad for part in losses.parts.values())
    assert "classification" in losses.parts
    assert recipe.student.projection[0].weight.grad.any()


@every_recipe
def test_loss_falls_when_it_is_followed(name: str):
    recipe = build(name)
    totals = run(recipe, range(60), adam(recipe))
    assert sum(totals[-3:]) < sum(totals[:3])


@every_recipe
def test_a_resumed_run_goes_on_as_if_never_stopped(name: str):
    whole = build(name)
    wanted = run(whole, range(8), adam(whole))[4:]
    first, second = build(name), build(name, seed=9)
    optimiser = adam(first)
    run(first, range(4), optimiser)
    second.load_state_dict(first.state_dict())
    resumed = adam(second)
    resumed.load_state_dict(optimiser.state_dict())
    assert run(second, range(4, 8), resumed) == wanted


@every_recipe
def test_describes_itself_in_plain_values(name: str):
    described = build(name).describe()
    assert json.loads(json.dumps(described)) == described


@every_recipe
def test_its_state_is_tensors_and_plain_values(name: str, tmp_path: Any):
    recipe = build(name)
    torch.save(recipe.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state.keys() == recipe.state_dict().keys()
