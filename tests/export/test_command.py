import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_mhim import cli
from napari_mhim.export import ExportOptions, command_line

runner = CliRunner()
CHANGED = {
    "patches": "top",
    "top": 7,
    "class_name": "tumour 'x'",
    "overlay": "percentile",
    "pixels": "colours",
    "blinded": True,
    "case": "Case 07; rm -rf $HOME",
    "regions": "r é.geojson",
    "model": "/models/a b",
    "features": 'f"x".h5',
}


def test_every_option_is_tried() -> None:
    assert set(CHANGED) == {field.name for field in fields(ExportOptions)}


@pytest.mark.parametrize("name", [*CHANGED, ""])
def test_the_line_does_what_was_chosen(name: str, monkeypatch, tmp_path: Path) -> None:
    options = ExportOptions(**({name: CHANGED[name]} if name else {}))
    paths = ("a result.h5", "/s/Müller's $(slide) [1].svs", str(tmp_path / "o;ut"))
    line = command_line(*paths, ("csv", "report"), options)
    said = []
    monkeypatch.setattr("napari_mhim.cli.export.export_as", lambda *a: said.append(a))
    monkeypatch.setattr("napari_mhim.cli.export.show", lambda events: [])
    program, *arguments = shlex.split(line)
    assert program == "napari-mhim"
    done = runner.invoke(cli.app, arguments)
    assert done.exit_code == 0, done.output
    assert said == [(*paths, ["csv", "report"], options)]


def test_defaults_are_left_out() -> None:
    line = command_line("r.h5", "s.svs", "out", ["csv"])
    assert line == "napari-mhim export r.h5 --slide s.svs --as csv --out out"


def test_windows_quotes_its_own_way() -> None:
    line = command_line(r"C:\my results\r.h5", "s.svs", "out", ["csv"], system="nt")
    assert r'export "C:\my results\r.h5" --slide' in line


def test_a_file_named_like_an_option_is_none() -> None:
    assert "export ./-r.h5" in command_line("-r.h5", "s.svs", "o", ["csv"])


def test_the_command_writes_and_says_where(result_path, slide_path, tmp_path) -> None:
    out = tmp_path / "out"
    line = command_line(str(result_path), str(slide_path), str(out), ["csv", "geojson"])
    done = runner.invoke(cli.app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    assert {p.name for p in out.iterdir()} == {"case-01.csv", "case-01.geojson"}
