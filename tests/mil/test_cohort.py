"""The label table: what is read, and one sentence for each thing that can be wrong."""

import errno
from pathlib import Path

import pytest

from napari_mhim.errors import CohortError, WorkspaceError
from napari_mhim.mil.cohort import Cohort, CohortRow, class_order


def write(folder: Path, text: str) -> Path:
    path = folder / "cohort.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_slide_and_label_are_enough(tmp_path: Path) -> None:
    cohort = Cohort.read(write(tmp_path, "slide,label\na,normal\nb,tumour\n"))
    assert cohort.rows == (
        CohortRow("a", label="normal", patient="a"),
        CohortRow("b", label="tumour", patient="b"),
    )
    assert cohort.classes == ("normal", "tumour")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_reads_every_delimiter(tmp_path: Path, delimiter: str) -> None:
    text = "slide,label,patient\na,x y,p1\nb,z,p2\n".replace(",", delimiter)
    rows = Cohort.read(write(tmp_path, text)).rows
    assert [(row.slide, row.label, row.patient) for row in rows] == [
        ("a", "x y", "p1"),
        ("b", "z", "p2"),
    ]


def test_reads_what_a_spreadsheet_saves(tmp_path: Path) -> None:
    text = "\ufeffSlide , LABEL,role\r\n a ,normal\r\n\r\nb,tumour,Validation\r\n"
    rows = Cohort.read(write(tmp_path, text)).rows
    assert [(row.slide, row.role) for row in rows] == [("a", ""), ("b", "val")]


def test_paths_are_relative_to_the_table(tmp_path: Path) -> None:
    text = f"slide,path,label\na,sub/../a.svs,x\nb,{tmp_path / 'b.svs'},y\n"
    rows = Cohort.read(write(tmp_path, text)).rows
    assert [Path(row.path) for row in rows] == [tmp_path / "a.svs", tmp_path / "b.svs"]


def test_a_web_address_stays_one(tmp_path: Path) -> None:
    address = "https://slides.org/a/b.zarr"
    table = write(tmp_path, f"slide,label,path\nb.zarr,x,{address}\n")
    cohort = Cohort.read(table)
    assert (cohort.rows[0].slide, cohort.rows[0].path) == ("b", address)
    cohort.write(tmp_path / "again.csv")
    assert Cohort.read(tmp_path / "again.csv").rows == cohort.rows


def test_a_file_name_is_its_slide(tmp_path: Path) -> None:
    text = "slide,label\na.svs,x\nfolder/b.v2,y\n"
    rows = Cohort.read(write(tmp_path, text)).rows
    assert [row.slide for row in rows] == ["a", "b.v2"]


def test_written_then_read_is_the_same(tmp_path: Path) -> None:
    cohort = Cohort.of(
        [
            CohortRow(
                "a, left", str(tmp_path / "a.svs"), "normal", "p", "train", "Ulm"
            ),
            CohortRow("b", "/elsewhere/b.svs", "tumour", "q", "val"),
            CohortRow("c", label="tumour"),
        ]
    )
    cohort.write(tmp_path / "cohort.csv")
    assert Cohort.read(tmp_path / "cohort.csv") == cohort


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("slide,lable\na,x\n", "unknown column 'lable'; did you mean 'label'"),
        ("slide,label,colour\na,x,y\n", "unknown column 'colour' .*known: slide, path"),
        ("slide,patient\na,p\n", "no column 'label'; it has slide, patient"),
        ("label\nx\n", "no column 'slide'"),
        ("slide,label,label\na,x,y\n", "two columns 'label'"),
        ("", "has no slides; it needs a header"),
        ("slide,label\n\n", "has no slides"),
        ("slide,label\n,x\n", "line 2 .* names no slide"),
        ("slide,label\na,x\nb,\n", "slide 'b' has no label .line 3"),
        ("slide,label\na,x,y,z\n", "line 2 .* has 4 cells, the header 2"),
        ("slide,label,role\na,x,holdout\n", "the role 'holdout'; roles are train"),
        (
            "slide,label,patient,role\na,x,p,train\nb,y,p,test\n",
            "patient 'p' is in two roles .slide 'a' train, slide 'b' test",
        ),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(CohortError, match=sentence):
        Cohort.read(write(tmp_path, text))


def test_a_slide_twice_is_named_with_both_paths(tmp_path: Path) -> None:
    text = "slide,path,label\na,one/a.svs,x\na,two/a.svs,x\n"
    with pytest.raises(CohortError, match=r"slide 'a' .*one.a\.svs.*two.a\.svs"):
        Cohort.read(write(tmp_path, text))


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="no label table at"):
        Cohort.read(tmp_path / "none.csv")


def test_a_binary_file_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(CohortError, match="save it as CSV"):
        Cohort.read(tmp_path / "cohort.csv")


def test_labels_may_be_missing_where_nobody_trains(tmp_path: Path) -> None:
    path = write(tmp_path, "slide,label\na,\nb,x\n")
    assert Cohort.read(path, labels_required=False).rows[0].label == ""


def test_one_class_cannot_be_trained_on(tmp_path: Path) -> None:
    cohort = Cohort.read(write(tmp_path, "slide,label\na,x\nb,x\nc,uncertain\n"))
    with pytest.raises(CohortError, match="two classes, this table has only 'x'"):
        cohort.trainable()


def test_uncertain_slides_are_no_class(tmp_path: Path) -> None:
    text = "slide,label\na,x\nb,y\nc,uncertain\nd,not assessable\n"
    cohort = Cohort.read(write(tmp_path, text))
    assert cohort.classes == ("x", "y")
    assert [row.slide for row in cohort.trainable().rows] == ["a", "b"]


def test_unknown_slides_are_named_with_the_closest() -> None:
    cohort = Cohort.of(
        [CohortRow("case-01", label="x"), CohortRow("cas-02", label="y")]
    )
    with pytest.raises(
        CohortError, match=r"'cas-02', .*2 slides here; is it 'case-02'"
    ):
        cohort.check_slides(["case-01", "case-02"])
    with pytest.raises(CohortError, match="'case-01' and 1 more"):
        cohort.check_slides([])


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (["tumour", "normal"], ("normal", "tumour")),
        (["1", "0"], ("0", "1")),
        (["adenoma", "Benign"], ("Benign", "adenoma")),
        (["LUSC", "LUAD"], ("LUAD", "LUSC")),
        (["negative", "itc", "macro"], ("negative", "itc", "macro")),
    ],
)
def test_the_class_of_interest_comes_last(
    labels: list[str], order: tuple[str, ...]
) -> None:
    assert class_order(labels) == order


def test_a_given_order_is_kept_and_checked(tmp_path: Path) -> None:
    path = write(tmp_path, "slide,label\na,normal\nb,tumour\n")
    assert Cohort.read(path, classes=("tumour", "normal")).target == "normal"
    with pytest.raises(CohortError, match="'normal', which is not among the classes"):
        Cohort.read(path, classes=("tumour", "healthy"))


def test_a_full_disk_keeps_the_old_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "slide,label\na,normal\nb,tumour\n")
    before = path.read_bytes()
    cohort = Cohort.read(path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(WorkspaceError, match="is full"):
        cohort.write(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["cohort.csv"]
