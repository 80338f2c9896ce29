import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_mhim._parts import load
from napari_mhim.errors import (
    ConfigError,
    FeatureMismatchError,
    RegionError,
    StoreError,
    UnknownPartError,
    WorkspaceError,
)
from napari_mhim.events import Note, Progress
from napari_mhim.export import ExportDone, ExportOptions, export, kind_names, write
from napari_mhim.export.exporting import KINDS
from napari_mhim.slide import SlideIdentity, open_slide, region, write_regions

EVERY = pytest.mark.parametrize("kind", kind_names())


def test_kinds_are_the_files_of_their_folder() -> None:
    assert kind_names() == ("csv", "geojson", "ometiff", "parquet", "picture", "report")
    assert len({load(KINDS, kind).SUFFIX for kind in kind_names()}) == len(kind_names())
    assert all(load(KINDS, kind).ABOUT.endswith(".") for kind in kind_names())


@EVERY
def test_a_kind_writes_one_file_with_its_suffix(
    kind, result_path, slide_path, tmp_path
) -> None:
    path = write(kind, result_path, slide_path, tmp_path / "out")
    assert [*(tmp_path / "out").iterdir()] == [path]
    assert path.name == f"case-01{load(KINDS, kind).SUFFIX}"
    assert path.stat().st_size


@EVERY
def test_a_folder_that_cannot_be_written_is_said(
    kind, result, slide_path, tmp_path
) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        write(kind, result, slide_path, taken / "out")


@EVERY
def test_a_full_disk_leaves_the_old_file(
    kind, result, slide_path, tmp_path, monkeypatch
) -> None:
    path = write(kind, result, slide_path, tmp_path / "out")
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WorkspaceError, match="is full; free some space"):
        write(kind, result, slide_path, tmp_path / "out")
    assert [*(tmp_path / "out").iterdir()] == [path]
    assert path.read_bytes() == before


@EVERY
def test_blinded_files_hold_neither_name_nor_path(
    kind, result, slide_path, tmp_path
) -> None:
    with open_slide(slide_path) as slide:
        identity = SlideIdentity.of(slide)
    box = np.array([[0, 0], [0, 900], [500, 900], [500, 0]], float)
    regions = tmp_path / "r.geojson"
    write_regions(regions, [region(box, name="Doe", reason="Jane")], identity)
    options = ExportOptions(blinded=True, case="Case 7", regions=str(regions))
    path = write(kind, result, slide_path, tmp_path / "out", options)
    assert path.stem.startswith("Case 7")
    content = path.read_bytes()
    for secret in (b"case-01", str(tmp_path).encode(), b"Doe", b"Jane"):
        assert secret not in content


@EVERY
def test_other_shapes_of_results_are_written_too(
    kind, result, slide_path, tmp_path
) -> None:
    # one patch, two branches, three classes, no scale, nobody's cut-off
    one = replace(
        result,
        grid=replace(result.grid, cells=result.grid.cells[:1]),
        classes=("a", "b", "c"),
        target=2,
        cutoff=None,
        slide_mpp=None,
        fingerprint="",
        probabilities=np.array([0.2, 0.1, 0.7], np.float32),
        remaining=np.array([0.2, 0.1, 0.7], np.float32),
        branches=("for a", "for b"),
        attention=np.ones((2, 1), np.float32),
        evidence=np.zeros((1, 3), np.float32),
        evidence_limits=np.ones(3, np.float32),
        student_scores=np.ones(1, np.float32),
        teacher_scores=np.ones(1, np.float32),
        score_source="own scores",
        mask=np.zeros(1, bool),
    )
    for options in (
        ExportOptions(),
        ExportOptions(overlay="none", pixels="colours", patches="hard"),
        ExportOptions(overlay="percentile", class_name="a", patches="hidden"),
    ):
        path = write(kind, one, slide_path, tmp_path, options)
        assert path.stat().st_size


def test_nothing_of_it_asks_for_torch_or_a_window(sample, tmp_path) -> None:
    code = (
        "import sys\n"
        "from napari_mhim.export import kind_names, write\n"
        "for kind in kind_names():\n"
        f"    write(kind, {str(sample / 'both.h5')!r}, {str(sample / 'both.tiff')!r},"
        f" {str(tmp_path)!r})\n"
        "loaded = {'torch', 'napari', 'qtpy', 'matplotlib.pyplot'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(loaded)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_blinded_slide_without_a_number_is_called_by_its_fingerprint(
    result, slide_path, tmp_path
) -> None:
    path = write("csv", result, slide_path, tmp_path, ExportOptions(blinded=True))
    assert path.name == f"Case {result.fingerprint[:6]}.csv"


@EVERY
def test_a_result_of_another_size_is_refused(
    kind, result, slide_path, tmp_path
) -> None:
    other = replace(result, slide_shape=(1040, 1801))
    with pytest.raises(FeatureMismatchError, match=r"1801 × 1040 px.*1800 × 1040 px"):
        write(kind, other, slide_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_result_of_another_file_is_refused(result, slide_path, tmp_path) -> None:
    other = replace(result, fingerprint="0" * 64, slide="other")
    with pytest.raises(FeatureMismatchError, match="of another file than"):
        write("csv", other, slide_path, tmp_path)


def test_regions_of_another_slide_are_refused(
    result, slide_path, sample, tmp_path
) -> None:
    with open_slide(sample / "both.tiff") as slide:
        identity = SlideIdentity.of(slide)
    box = np.array([[0, 0], [0, 90], [50, 90], [50, 0]], float)
    path = tmp_path / "r.geojson"
    write_regions(path, [region(box)], identity)
    with pytest.raises(RegionError, match=r"slide .both..*not of .case-01"):
        write("csv", result, slide_path, tmp_path, ExportOptions(regions=str(path)))


def test_an_unknown_kind_is_refused_before_anything_is_read(tmp_path) -> None:
    with pytest.raises(UnknownPartError, match="no kind named 'pdf'; there are: csv"):
        write("pdf", tmp_path / "none.h5", tmp_path / "none.svs", tmp_path)


def test_a_missing_result_is_said(slide_path, tmp_path) -> None:
    with pytest.raises(StoreError, match="no result at"):
        write("csv", tmp_path / "none.h5", slide_path, tmp_path)


def test_an_unknown_class_is_refused(result, slide_path, tmp_path) -> None:
    with pytest.raises(ConfigError, match="no class 'x'; there are: normal, tumour"):
        write("csv", result, slide_path, tmp_path, ExportOptions(class_name="x"))


@pytest.mark.parametrize(
    "options", [{"patches": "some"}, {"overlay": "x"}, {"pixels": "x"}, {"top": 0}]
)
def test_settings_that_cannot_be_are_refused(options: dict) -> None:
    with pytest.raises(ConfigError, match="must be"):
        ExportOptions(**options)


def test_a_job_tells_what_it_wrote(result_path, slide_path, tmp_path) -> None:
    names = ("csv", "geojson", "csv")
    events = list(export(str(result_path), str(slide_path), str(tmp_path / "o"), names))
    done = [event for event in events if isinstance(event, ExportDone)]
    assert [event.kind for event in done] == ["csv", "geojson"]
    assert all(Path(event.path).is_file() for event in done)
    assert any(isinstance(event, Progress) for event in events)


def test_a_job_says_which_regions_were_left_out(
    result_path, slide_path, tmp_path
) -> None:
    ring = [[[1700, 10], [1900, 10], [1900, 90], [1700, 90], [1700, 10]]]
    path = tmp_path / "q.geojson"
    path.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": '
        f'{{"type": "Polygon", "coordinates": {ring}}}, "properties": {{}}}}]}}'
    )
    options = ExportOptions(regions=str(path))
    events = list(
        export(str(result_path), str(slide_path), str(tmp_path), ["csv"], options)
    )
    assert Note("A region reaches past the slide and was cut at its edge.") in events


def test_a_job_with_nothing_to_do_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="nothing to export; there are: csv"):
        list(export("r.h5", "s.svs", str(tmp_path), []))


def test_a_job_that_is_dropped_leaves_no_half_file(
    result_path, slide_path, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("napari_mhim.export.kinds.geojson._STEP", 10)
    out = tmp_path / "out"
    job = export(str(result_path), str(slide_path), str(out), ["geojson"])
    assert isinstance(next(job), Progress)
    job.close()
    assert [*out.iterdir()] == []


def test_a_slide_given_open_stays_open(result, slide_path, tmp_path) -> None:
    with open_slide(slide_path) as slide:
        write("picture", result, slide, tmp_path)
        assert slide.read_region(0, 0, 4, 4).shape == (4, 4, 3)


def test_tables_hold_the_patches_asked_for(result, slide_path, tmp_path) -> None:
    import pandas as pd

    options = ExportOptions(patches="hidden")
    path = write("csv", result, slide_path, tmp_path, options)
    table = pd.read_csv(path, comment="#")
    assert len(table) == result.mask.sum()
    assert table["hidden_by_teacher"].all()
