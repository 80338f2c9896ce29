import numpy as np
import pytest

from napari_mhim.phantom.nuclei import KINDS, Nuclei, library, stamp


def blank() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((120, 160), np.uint8), np.full((120, 160), 150, np.uint8)


def area_um2(name: str, mpp) -> float:
    sizes = [(dark > 40).sum() * mpp[0] * mpp[1] for dark, _ in library(name, mpp)]
    return float(np.mean(sizes))


@pytest.mark.parametrize("name", [name for name in KINDS if name != "red cell"])
def test_a_nucleus_has_its_size_at_any_mpp(name) -> None:
    kind = KINDS[name]
    expected = np.pi * np.mean(kind.length_um) * np.mean(kind.width_um)
    for mpp in ((0.25, 0.25), (0.5, 0.5), (0.5, 0.3)):
        assert area_um2(name, mpp) == pytest.approx(expected, rel=0.35)


def test_easy_nuclei_are_the_largest_and_the_darkest() -> None:
    mpp = (0.5, 0.5)
    areas = {name: area_um2(name, mpp) for name in KINDS if name != "red cell"}
    assert max(areas, key=areas.__getitem__) == "easy"
    assert areas["easy"] > 1.8 * areas["hard"] > 1.8 * areas["spindle"]


def test_hard_nuclei_are_paler_than_normal_ones() -> None:
    assert KINDS["hard"].dark[1] <= KINDS["spindle"].dark[0]


def test_a_stamp_lies_where_it_should() -> None:
    blue, pink = blank()
    where = np.array([[40.0, 100.0]])
    stamp(
        Nuclei("easy", where, np.zeros(1)),
        blue,
        pink,
        (0.5, 0.5),
        np.random.default_rng(0),
    )
    y, x = np.nonzero(blue > 60)
    assert (y.mean(), x.mean()) == pytest.approx((40, 100), abs=1.5)
    assert pink[blue > 120].mean() < 110


@pytest.mark.parametrize(("angle", "long_axis"), [(0.0, 1), (np.pi / 2, 0)])
def test_a_nucleus_points_along_its_angle(angle, long_axis) -> None:
    blue, pink = blank()
    rng = np.random.default_rng(0)
    nuclei = Nuclei("spindle", np.array([[60.0, 80.0]]), np.array([angle]))
    stamp(nuclei, blue, pink, (0.5, 0.5), rng)
    spread = [np.ptp(axis) for axis in np.nonzero(blue > 60)]
    assert spread[long_axis] > 1.8 * spread[1 - long_axis]


def test_nuclei_that_would_leave_the_slide_are_left_out() -> None:
    blue, pink = blank()
    centres = np.array([[0.0, 80.0], [119.0, 80.0], [60.0, 0.0], [-50.0, 400.0]])
    nuclei = Nuclei("hard", centres, np.zeros(4))
    stamp(nuclei, blue, pink, (0.5, 0.5), np.random.default_rng(0))
    assert not blue.any()


def test_red_cells_add_eosin() -> None:
    blue, pink = blank()
    nuclei = Nuclei("red cell", np.array([[60.0, 80.0]]), np.zeros(1))
    stamp(nuclei, blue, pink, (0.5, 0.5), np.random.default_rng(0))
    assert pink.max() > 220
    assert pink.min() == 150
