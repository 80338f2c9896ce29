"""Parity with the authors' code, from numbers it gave: every v1 case of the folder."""

import golden
import pytest
import torch
from golden import Case, Recorded, assert_close

from napari_mhim.mil.masking import high_mask, hybrid_mask, low_mask, random_mask
from napari_mhim.mil.teacher import consistency_loss, cosine_momentum, cosine_ratio

pytestmark = pytest.mark.usefixtures("test_data")
every_case = pytest.mark.parametrize("case", golden.cases())


@every_case
@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_predicts_as_the_authors_do(case: Case, role: str, dtype: torch.dtype):
    model = golden.model(case.arch, role).to(dtype)
    output = model(case.x.to(dtype))
    bits = "64" if dtype is torch.float64 else ""
    stem = f"eval.{role}."
    bag = "logits_bag" if f"{stem}logits_bag" in case.tensors else "logits"
    assert_close(output.logits, case[f"{stem}{bag}{bits}"])
    assert_close(model.probabilities(output), case[f"{stem}prob{bits}"])


@every_case
def test_teacher_gives_the_authors_feature_and_scores(case: Case):
    output = golden.model(case.arch, "teacher")(case.x)
    scores = "attn" if "teacher.attn" in case.tensors else "attn_layer0"
    assert_close(output.embedding, case["teacher.feat"])
    assert_close(output.scores, case[f"teacher.{scores}"])


@every_case
def test_both_streams_of_a_model_with_two_are_the_authors(case: Case):
    if "teacher.instance_logits" not in case.tensors:
        pytest.skip("this model has one stream")
    output = golden.model(case.arch, "teacher")(case.x)
    assert_close(output.attention.T, case["teacher.A"])
    assert_close(output.instance_logits, case["teacher.instance_logits"])
    assert_close(output.top_logits, case["eval.teacher.logits_ins"])


@every_case
def test_the_last_layers_attention_is_the_authors(case: Case):
    if "teacher.attn_layer1" not in case.tensors:
        pytest.skip("this model has one attention")
    output = golden.model(case.arch, "teacher", attention_layer="last")(case.x)
    assert_close(output.scores, case["teacher.attn_layer1"])


@every_case
def test_masks_what_the_authors_mask(case: Case):
    for name in case.names("mask"):
        recorded = Recorded(case, name)
        mask = hybrid_mask(recorded.scores, **recorded.ratios, keys=recorded.keys())
        exact = len(recorded.scores) == 1
        assert not exact or mask.equal(recorded.masked), name


@every_case
def test_each_part_of_a_mask_is_the_authors_up_to_equal_votes(case: Case):
    for name in case.names("mask"):
        recorded = Recorded(case, name)
        scores, keys, ratios = recorded.scores, recorded.keys(), recorded.ratios
        parts = {
            "random": random_mask(keys[0], ratios["mask_ratio_random"]),
            "low": low_mask(scores, ratios["mask_ratio_low"]),
            "high": high_mask(
                scores,
                ratios["mask_ratio_high"],
                ratios["high_keep_share"],
                keys=keys[1],
            ),
        }
        for stage in recorded.stages:
            assert recorded.can_be(stage, parts[stage]), (name, stage)


@every_case
def test_averaged_heads_mask_what_the_authors_mask(case: Case):
    for name in case.names("mask_mean"):
        random, low, high, share = golden.manifest()["masks_v1"][name]
        mask = hybrid_mask(
            case["teacher.attn_layer0"][0],
            mask_ratio_random=random,
            mask_ratio_low=low,
            mask_ratio_high=high,
            high_keep_share=share,
            fusion="mean",
        )
        assert mask.equal(golden.marked(case[f"mask_mean.{name}.masked"], len(mask)))


@every_case
def test_student_learns_from_what_is_kept_as_the_authors_do(case: Case):
    model = golden.model(case.arch, "student")
    manifest = golden.manifest()
    for name in case.names("mask"):
        stem = f"mask.{name}."
        output = model(case.x[case[f"{stem}keep"]])
        bag = "logits_bag" if f"{stem}student.logits_bag" in case.tensors else "logits"
        assert_close(output.embedding, case[f"{stem}student.feat"])
        assert_close(output.logits, case[f"{stem}student.{bag}"])
        loss = torch.stack([model.loss(output, label) for label in (0, 1)])
        consistency = consistency_loss(
            output.embedding,
            case["teacher.feat"].reshape(output.embedding.shape),
            temperature_teacher=manifest["temp_t"],
        )
        assert_close(loss, case[f"{stem}loss.cls_y0y1"])
        assert_close(consistency, case[f"{stem}loss.con"])
        total = loss + manifest["alpha"] * consistency
        assert_close(total, case[f"{stem}loss.total_y0y1"])


@every_case
def test_ascending_order_gives_the_authors_numbers_where_they_are_recorded(case: Case):
    model = golden.model(case.arch, "student")
    for name in case.names("mask"):
        sorted_logits = case.tensors.get(f"mask.{name}.student_sorted.logits")
        if sorted_logits is None:  # a model that does not mind the order
            sorted_logits = case.tensors.get(
                f"mask.{name}.student.logits",
                case.tensors.get(f"mask.{name}.student.logits_bag"),
            )
        kept = case[f"mask.{name}.keep"].sort().values
        assert_close(model(case.x[kept]).logits, sorted_logits)


def test_schedules_are_the_authors():
    for name, values in golden.scalars().items():
        if (call := golden.SCHEDULE.fullmatch(name)) is None:
            continue
        start, total = float(call["start"]), int(call["epochs"]) * int(call["steps"])
        kind = {"mrh": cosine_ratio, "mm": cosine_momentum}[call["kind"]]
        ours = [kind(start, step, total) for step in range(total)]
        assert ours == pytest.approx(values, rel=golden.TOLERANCE)
