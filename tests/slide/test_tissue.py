import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from napari_mhim.errors import ConfigError
from napari_mhim.slide import TissueConfig, open_slide, tissue_mask
from napari_mhim.slide.tissue import is_dark_field, tissue_in

CONFIG = TissueConfig()
INKS = {
    "blue": (30, 60, 170),
    "pale blue": (110, 140, 215),
    "green": (30, 130, 60),
    "black": (30, 28, 32),
    "red": (210, 40, 50),
}


def agreement(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def scene(shape=(500, 700)) -> tuple[np.ndarray, np.ndarray]:
    """Draw stained tissue on glass, and where it is."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[: shape[0], : shape[1]]
    tissue = ((y - 260) / 150) ** 2 + ((x - 400) / 180) ** 2 < 1
    picture = np.full((*shape, 3), (244.0, 242, 245))
    picture[tissue] = (225, 160, 198)
    nuclei = (np.sin(y / 3.1) * np.sin(x / 3.7) > 0.6) & tissue
    picture[nuclei] = (110, 70, 150)
    picture += rng.normal(0, 2, picture.shape)
    return picture.clip(0, 255).astype(np.uint8), tissue


PICTURE, TISSUE = scene()


def test_finds_the_tissue_of_a_slide_on_disk(synthetic_slide):
    with open_slide(synthetic_slide.path) as slide:
        found = tissue_mask(slide, TissueConfig(max_px=400))
    rows, cols = found.mask.shape
    assert found.px == (1310 / rows, 2070 / cols)
    y = ((np.arange(rows) + 0.5) * found.px[0]).astype(int)
    x = ((np.arange(cols) + 0.5) * found.px[1]).astype(int)
    truth = synthetic_slide.tissue[np.ix_(y, x)]
    assert agreement(found.mask, truth) > 0.95
    assert found.share == pytest.approx(truth.mean(), abs=0.01)


@pytest.mark.parametrize("light", [1.0, 0.75, 0.45])
def test_finds_it_however_dim_the_light(light):
    picture = (PICTURE * light).astype(np.uint8)
    assert agreement(tissue_in(picture, CONFIG), TISSUE) > 0.95


@pytest.mark.parametrize("stain", [0.15, 0.3, 0.6])
def test_finds_it_however_pale_the_stain(stain):
    picture = (244 - (244 - PICTURE.astype(float)) * stain).clip(0, 255)
    assert agreement(tissue_in(picture.astype(np.uint8), CONFIG), TISSUE) > 0.93


def test_finds_the_pale_part_beside_a_dark_one():
    picture = PICTURE.copy()
    pale = TISSUE & (np.arange(700) < 400)
    picture[pale] = 244 - (244 - picture[pale].astype(float)) * 0.4
    assert agreement(tissue_in(picture, CONFIG), TISSUE) > 0.93


def test_an_empty_slide_has_none():
    rng = np.random.default_rng(0)
    glass = rng.normal(238, 2, (400, 600, 3)).clip(0, 255).astype(np.uint8)
    assert not tissue_in(glass, CONFIG).any()


def test_tissue_from_edge_to_edge_is_all_tissue():
    inside = PICTURE[200:320, 320:480]
    assert tissue_in(inside, CONFIG).mean() > 0.95


@pytest.mark.parametrize("blur", [0, 2])
@pytest.mark.parametrize("ink", INKS)
def test_pen_is_no_tissue(ink, blur):
    image = Image.fromarray(PICTURE)
    draw = ImageDraw.Draw(image)
    draw.line([(40, 20), (120, 480)], fill=INKS[ink], width=9)
    draw.line([(130, 30), (690, 60)], fill=INKS[ink], width=12)
    drawn = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)))
    mask = tissue_in(drawn, CONFIG)
    assert not (mask & ~ndimage_grown(TISSUE)).any()
    assert agreement(mask, TISSUE) > 0.93


def ndimage_grown(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return ndimage.binary_dilation(mask, iterations=6)


def test_without_dropping_pen_a_stroke_stays():
    image = Image.fromarray(PICTURE)
    ImageDraw.Draw(image).line([(40, 20), (120, 480)], fill=INKS["blue"], width=9)
    mask = tissue_in(np.asarray(image), TissueConfig(leave_out_pen=False))
    assert mask[250, 80]


def test_black_borders_and_lost_regions_are_no_tissue():
    picture = PICTURE.copy()
    black = np.zeros(picture.shape[:2], bool)
    black[:, :30] = black[-60:] = black[200:300, 380:450] = True
    picture[black] = 3
    mask = tissue_in(picture, CONFIG)
    assert not (mask & black).any()
    assert agreement(mask, TISSUE & ~black) > 0.92


def test_a_mostly_lost_slide_is_still_one_on_glass():
    picture = np.zeros((1000, 1400, 3), np.uint8)
    picture[:500, :700] = PICTURE
    assert not is_dark_field(picture)
    assert agreement(tissue_in(picture, CONFIG)[:500, :700], TISSUE) > 0.9


def test_what_glows_on_a_dark_ground_is_tissue():
    rng = np.random.default_rng(1)
    picture = rng.normal(6, 1.5, PICTURE.shape)
    picture[..., 2] += np.where(TISSUE, 90, 0)
    glowing = picture.clip(0, 255).astype(np.uint8)
    assert is_dark_field(glowing)
    assert agreement(tissue_in(glowing, CONFIG), TISSUE) > 0.9


def test_a_black_picture_has_no_tissue():
    assert not tissue_in(np.zeros((200, 300, 3), np.uint8), CONFIG).any()


def test_small_holes_are_filled_and_specks_dropped():
    picture = PICTURE.copy()
    picture[255:259, 395:399] = 244
    picture[20:22, 20:22] = (110, 70, 150)
    mask = tissue_in(picture, TissueConfig(min_share=1e-4, fill_share=1e-3))
    assert mask[257, 397]
    assert not mask[10:40, 10:40].any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (16, 16), (1, 400)])
@pytest.mark.parametrize("value", [0, 120, 255])
def test_a_tiny_or_plain_picture_is_no_error(shape, value):
    mask = tissue_in(np.full((*shape, 3), value, np.uint8), CONFIG)
    assert mask.shape == shape


@pytest.mark.parametrize(
    "options", [{"max_px": 3}, {"density": 0}, {"min_share": 1.0}, {"fill_share": -1}]
)
def test_settings_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigError):
        TissueConfig(**options)
