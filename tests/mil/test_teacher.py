"""The momentum teacher, against its equations."""

from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from napari_mhim.mil.teacher import (
    consistency_loss,
    cosine_momentum,
    cosine_ratio,
    ema_update,
    make_teacher,
)


@given(st.floats(0, 1), st.integers(0, 2**32))
def test_each_weight_moves_by_its_share(momentum: float, seed: int):
    torch.manual_seed(seed)
    teacher, student = nn.Linear(3, 2), nn.Linear(3, 2)
    wanted = [
        [momentum * t + (1 - momentum) * s for t, s in zip(mine, theirs, strict=True)]
        for mine, theirs in zip(flat(teacher), flat(student), strict=True)
    ]
    ema_update(teacher, student, momentum)
    assert flat(teacher) == [pytest.approx(values, abs=1e-6) for values in wanted]


def flat(module: nn.Module) -> list[list[float]]:
    return [p.detach().flatten().tolist() for p in module.parameters()]


def test_weights_without_gradient_move_too():
    teacher, student = nn.Linear(2, 2), nn.Linear(2, 2)
    student.bias.requires_grad_(False)
    ema_update(teacher, student, 0.0)
    assert teacher.bias.equal(student.bias)


def test_buffers_are_copied():
    teacher, student = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    student(torch.randn(8, 2))
    ema_update(teacher, student, 0.9)
    assert teacher.running_mean.equal(student.running_mean)
    assert teacher.num_batches_tracked == 1


def test_a_teacher_is_a_copy_that_does_not_learn():
    student = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    teacher = make_teacher(student)
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())
    assert teacher[0].weight.data_ptr() != student[0].weight.data_ptr()


@given(
    st.integers(1, 3),
    st.integers(1, 6),
    st.floats(0.05, 2),
    st.floats(0.05, 2),
    st.data(),
)
def test_consistency_is_the_cross_entropy_of_two_softmaxes(
    rows: int, width: int, cold: float, warm: float, data: st.DataObject
):
    values = st.lists(st.floats(-3, 3), min_size=rows * width, max_size=rows * width)
    student, teacher = data.draw(values), data.draw(values)
    total = 0.0
    for row in range(rows):
        own = student[row * width : (row + 1) * width]
        target = teacher[row * width : (row + 1) * width]
        own_sum = sum(exp(v / warm) for v in own)
        target_sum = sum(exp(v / cold) for v in target)
        for s, t in zip(own, target, strict=True):
            total -= exp(t / cold) / target_sum * log(exp(s / warm) / own_sum)
    loss = consistency_loss(
        torch.tensor(student, dtype=torch.float64).view(rows, width),
        torch.tensor(teacher, dtype=torch.float64).view(rows, width),
        temperature_student=warm,
        temperature_teacher=cold,
    )
    assert loss.item() == pytest.approx(total / rows, rel=1e-6, abs=1e-9)


def test_no_gradient_reaches_the_teacher():
    student, teacher = torch.randn(1, 4), torch.randn(1, 4)
    consistency_loss(student.requires_grad_(), teacher.requires_grad_()).backward()
    assert student.grad is not None
    assert teacher.grad is None


@given(st.floats(0, 1), st.integers(1, 500))
def test_schedules_run_from_start_to_end_without_turning(start: float, total: int):
    ratios = [cosine_ratio(start, step, total) for step in range(total + 1)]
    momenta = [cosine_momentum(start, step, total) for step in range(total + 1)]
    assert ratios[0] == start
    assert ratios[-1] == pytest.approx(0)
    assert momenta[0] == pytest.approx(start)
    assert momenta[-1] == pytest.approx(1)
    assert ratios == sorted(ratios, reverse=True)
    assert momenta == sorted(momenta)


def test_half_way_is_half():
    assert cosine_ratio(0.2, 50, 100) == pytest.approx(0.1)
    assert cosine_momentum(0.9, 25, 100) == pytest.approx(
        1 + 0.5 * (0.9 - 1) * (1 + 0.5**0.5)
    )
