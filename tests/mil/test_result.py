"""Results: what hard patches are, and that a file gives back what was saved."""

import errno
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_bags import make_grid

from napari_mhim.errors import StoreError, WorkspaceError
from napari_mhim.mil.cutoff import Cutoff
from napari_mhim.mil.result import SlideResult, contribution, hard_instances

MakeResult = Callable[..., SlideResult]


def assert_same(first: object, second: object) -> None:
    for field in fields(first):
        ours, theirs = getattr(first, field.name), getattr(second, field.name)
        if field.name == "grid":
            assert_same(ours, theirs)
        elif isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype, field.name
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs, field.name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"slide_mpp": None, "path": "", "fingerprint": ""},
        {"cutoff": Cutoff(0.44, 8, "validation"), "calibrated": True, "role": "test"},
        {"provenance": {"encoder": "texture#µ", "time": "now"}},
    ],
)
def test_a_file_gives_back_the_result(
    make_result: MakeResult, tmp_path: Path, changes: dict[str, object]
) -> None:
    result = make_result(**changes)
    result.save(tmp_path / "deep" / "case.h5")
    assert_same(result, SlideResult.load(tmp_path / "deep" / "case.h5"))


def test_one_patch_is_a_result(make_result: MakeResult, tmp_path: Path) -> None:
    make_result(n=1).save(tmp_path / "one.h5")
    assert len(SlideResult.load(tmp_path / "one.h5")) == 1


def test_saving_replaces_an_older_result(
    make_result: MakeResult, tmp_path: Path
) -> None:
    make_result(n=9).save(tmp_path / "case.h5")
    make_result(n=5).save(tmp_path / "case.h5")
    assert len(SlideResult.load(tmp_path / "case.h5")) == 5


def test_a_missing_result_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no result at .*run the model"):
        SlideResult.load(tmp_path / "none.h5")


def test_a_truncated_result_is_damaged(make_result: MakeResult, tmp_path: Path) -> None:
    path = tmp_path / "case.h5"
    make_result().save(path)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(StoreError, match="damaged"):
        SlideResult.load(path)


def test_another_hdf5_file_is_no_result(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["features"] = np.zeros((3, 2))
    with pytest.raises(StoreError, match="no result of this program"):
        SlideResult.load(tmp_path / "features.h5")


def test_a_newer_result_is_refused(make_result: MakeResult, tmp_path: Path) -> None:
    make_result().save(tmp_path / "case.h5")
    with h5py.File(tmp_path / "case.h5", "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(StoreError, match="version 99"):
        SlideResult.load(tmp_path / "case.h5")


@pytest.mark.parametrize("name", ["mask", "attention", "evidence", "teacher_scores"])
def test_arrays_of_another_length_are_damage(
    make_result: MakeResult, tmp_path: Path, name: str
) -> None:
    make_result().save(tmp_path / "case.h5")
    with h5py.File(tmp_path / "case.h5", "r+") as file:
        short = file[name][()][..., :-1]
        del file[name]
        file[name] = short
    with pytest.raises(StoreError, match=name):
        SlideResult.load(tmp_path / "case.h5")


def test_a_full_disk_leaves_nothing_and_keeps_the_old(
    make_result: MakeResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_result(n=9)
    old.save(tmp_path / "case.h5")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_mhim.mil._result_file._plain", full)
    with pytest.raises(WorkspaceError, match=r"disk of .* is full"):
        make_result(n=5).save(tmp_path / "case.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["case.h5"]
    assert_same(old, SlideResult.load(tmp_path / "case.h5"))


@given(st.integers(1, 40), st.integers(0, 25), st.integers(0, 10_000))
def test_hard_patches_follow_their_definition(n: int, k: int, seed: int) -> None:
    """Oracle: sort every patch by the student's weight, take those that qualify."""
    generator = np.random.default_rng(seed)
    result = _random_result(n, generator)
    hard = hard_instances(result, 1, k)
    by_weight = sorted(range(n), key=lambda i: (-result.student_scores[i], i))
    expected = [
        i for i in by_weight if not result.mask[i] and result.evidence[i, 1] > 0
    ]
    assert hard.index.tolist() == expected[:k]
    assert hard.student_rank.tolist() == [by_weight.index(i) + 1 for i in hard.index]
    assert len(hard.reasons) == len(hard)


def test_no_patch_supports_the_class(make_result: MakeResult) -> None:
    against = np.full((9, 2), -0.1, np.float32)
    assert len(hard_instances(make_result(evidence=against))) == 0


def test_everything_hidden_leaves_no_hard_patch(make_result: MakeResult) -> None:
    assert len(hard_instances(make_result(mask=np.ones(9, bool)))) == 0


def test_hard_patches_are_of_the_class_of_interest_unless_asked(
    make_result: MakeResult,
) -> None:
    result = make_result(target=1)
    np.testing.assert_array_equal(
        hard_instances(result).index, hard_instances(result, 1).index
    )
    assert not set(hard_instances(result, 0).index) & set(hard_instances(result).index)


def test_a_reason_names_ranks_and_whose_scores(make_result: MakeResult) -> None:
    own = hard_instances(make_result(score_source="own scores"))
    assert "model's own score" in own.reasons[0]
    taught = hard_instances(make_result())
    assert f"{taught.teacher_rank[0]} of 9 by the teacher's score" in taught.reasons[0]
    assert "evidence for tumour +" in taught.reasons[0]


def test_contribution_averages_to_attention_times_evidence(
    make_result: MakeResult,
) -> None:
    result = make_result()
    pooled = result.attention[0] @ result.evidence
    np.testing.assert_allclose(result.contribution.mean(axis=0), pooled, rtol=1e-5)


def test_contribution_does_not_grow_with_the_slide() -> None:
    attention = np.full((1, 4), 0.25, np.float32)
    evidence = np.ones((4, 2), np.float32)
    twice = contribution(
        np.full((1, 8), 0.125, np.float32), np.ones((8, 2), np.float32)
    )
    np.testing.assert_allclose(contribution(attention, evidence), twice[:4])


def test_score_is_that_of_the_class_of_interest(make_result: MakeResult) -> None:
    result = make_result()
    assert result.score == pytest.approx(0.7)
    assert replace(result, target=0).score == pytest.approx(0.3)


def _random_result(n: int, generator: np.random.Generator) -> SlideResult:
    evidence = generator.normal(size=(n, 2)).astype(np.float32)
    return SlideResult(
        slide="s",
        path="",
        fingerprint="",
        slide_shape=(1, 1),
        slide_mpp=None,
        grid=make_grid(n),
        bundle="b",
        bundle_id="",
        classes=("normal", "tumour"),
        target=1,
        probabilities=np.array([0.4, 0.6], np.float32),
        remaining=np.array([0.4, 0.6], np.float32),
        attention=np.full((1, n), 1 / n, np.float32),
        branches=("attention",),
        evidence=evidence,
        evidence_kind="exact",
        evidence_limits=np.ones(2, np.float32),
        # few values, so that ties are common
        student_scores=generator.integers(0, 4, n).astype(np.float32),
        teacher_scores=generator.integers(0, 4, n).astype(np.float32),
        score_source="teacher",
        mask=generator.random(n) < 0.3,
        mask_ratio_high=0.3,
    )


def test_no_hard_instances_where_the_rest_does_not_come_to_the_class(
    make_result: MakeResult,
) -> None:
    result = make_result(n=30, cutoff=Cutoff(0.5, 8, "validation"))
    assert len(hard_instances(result))
    below = replace(result, remaining=np.array([0.55, 0.45], np.float32))
    assert len(hard_instances(below)) == 0
    # a slide that does not come to it as a whole has none either
    whole = replace(result, probabilities=np.array([0.6, 0.4], np.float32))
    assert len(hard_instances(whole)) == 0
    # the same rest is enough where the cut-off is lower
    lower = replace(below, cutoff=Cutoff(0.4, 8, "validation"))
    assert len(hard_instances(lower)) == len(hard_instances(result))


def test_a_class_without_a_cutoff_needs_the_largest_score(
    make_result: MakeResult,
) -> None:
    result = make_result(n=30)
    assert len(hard_instances(result, 1))
    assert len(hard_instances(result, 0)) == 0
