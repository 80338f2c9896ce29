"""Checkpoints: the best epoch, when to stop, and files that hold nothing but values."""

import errno
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_mhim.errors import TrainingError, WorkspaceError
from napari_mhim.mil.checkpoint import (
    Standing,
    load_state,
    random_state,
    save_state,
    set_random_state,
)


def standing_after(results: list[tuple[float, float]]) -> Standing:
    standing = Standing()
    for auc, loss in results:
        standing.epoch += 1
        standing.take(auc, loss)
    return standing


def test_stops_when_the_authors_do(test_data: Path) -> None:
    """Their trace has no losses: equal ones make the AUC alone decide, as in their code."""
    scalars = json.loads((test_data / "golden" / "scalars.json").read_text())
    standing, stopped = Standing(), False
    for _, auc, count, stops in scalars["early_stopping(patience=3,stop_epoch=5)"]:
        standing.epoch += 1
        standing.take(auc, 0.5)
        # theirs counts epochs from 0, and once it says stop it goes on saying it
        stopped |= standing.is_over(200, patience=3, min_epochs=7)
        assert (standing.since_best, stopped) == (count, stops)


def test_auc_decides_then_the_loss() -> None:
    standing = standing_after([(0.8, 0.5), (0.9, 0.7), (0.9, 0.6), (0.9, 0.65)])
    assert standing.best_epoch == 3
    assert standing.since_best == 1


def test_undefined_auc_leaves_the_loss() -> None:
    standing = standing_after([(math.nan, 0.7), (math.nan, 0.5), (math.nan, 0.6)])
    assert standing.best_epoch == 2


def test_a_defined_auc_beats_an_undefined_one() -> None:
    assert standing_after([(math.nan, 0.1), (0.5, 0.9)]).best_epoch == 2


def test_without_validation_the_last_epoch_is_best() -> None:
    standing = standing_after([(math.nan, math.nan)] * 4)
    assert standing.best_epoch == 4
    assert not standing.is_over(10, patience=2, min_epochs=0)


def test_patience_waits_for_the_least_epochs() -> None:
    standing = standing_after([(0.9, 0.1)] + [(0.5, 0.1)] * 4)
    assert standing.is_over(100, patience=4, min_epochs=5)
    assert not standing.is_over(100, patience=4, min_epochs=6)
    assert not standing.is_over(100, patience=0, min_epochs=0)
    assert standing.is_over(5, patience=0, min_epochs=0)


def test_an_early_epoch_is_best_only_until_it_settles() -> None:
    standing = Standing()
    seen = []
    for auc, loss in [(1.0, 0.1), (0.8, 0.5), (0.9, 0.4), (0.85, 0.3)]:
        standing.epoch += 1
        standing.take(auc, loss, settled=2)
        seen.append(standing.best_epoch)
    assert seen == [1, 2, 3, 3]


def test_a_file_gives_back_the_state(tmp_path: Path) -> None:
    state = {"a": torch.arange(3), "b": {"c": 1.5, "d": None}, "e": math.inf}
    save_state(tmp_path / "sub" / "x.pt", state)
    found = load_state(tmp_path / "sub" / "x.pt", "cpu")
    assert torch.equal(found["a"], state["a"])
    assert (found["b"], found["e"]) == (state["b"], state["e"])


def test_a_full_disk_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_state(path, {"epoch": 1})

    def full(self: Path, _: object) -> None:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WorkspaceError, match="is full; free some space"):
        save_state(path, {"epoch": 2})
    assert load_state(path, "cpu") == {"epoch": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]


class Sneaky:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("/tmp/never"),))


@pytest.mark.parametrize(
    "damage", ["missing", "truncated", "garbage", "empty", "pickle"]
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.pt"
    make = {
        "missing": lambda: None,
        "truncated": lambda: _truncated(path),
        "garbage": lambda: path.write_bytes(b"not a checkpoint"),
        "empty": lambda: path.write_bytes(b""),
        "pickle": lambda: torch.save({"a": Sneaky()}, path),
    }
    make[damage]()
    with pytest.raises(TrainingError, match=r"cannot be read .*start a new run"):
        load_state(path, "cpu")


def test_random_numbers_go_on_where_they_were() -> None:
    torch.manual_seed(3)
    state = random_state("cpu")
    first = torch.rand(5)
    torch.manual_seed(99)
    set_random_state(state, "cpu")
    np.testing.assert_array_equal(torch.rand(5), first)


def _truncated(path: Path) -> None:
    torch.save({"a": torch.arange(1000)}, path)
    path.write_bytes(path.read_bytes()[:-300])
