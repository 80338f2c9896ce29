"""The words of the Train tab."""

from html import escape

from napari_mhim.mil.parent import LEAST_PATIENTS
from napari_mhim.plugin.state.training import CUTOFF, NEW, TUNE, Split, Status

INTRO = (
    "Labelled slides make the model better on slides like them. The open slide's overlays "
    "follow while it learns. The model you start from is never changed."
)
NAMES = {CUTOFF: "Adjust cut-off only", TUNE: "Fine-tune", NEW: "Train new"}
"""What stands on the choices."""
WAYS = {
    CUTOFF: "Nothing is trained: the cut-off is chosen anew on these slides. The first thing "
    "to try for a new scanner or site.",
    TUNE: "The open model goes on learning, gently, on these slides. Encoder, scale and "
    "width stay. “head” is the safest with 10–50 slides.",
    NEW: "A new model from nothing but these slides. Below some 50 slides expect wide "
    "intervals.",
}
"""What each choice does."""
STAIN = (
    "If the encoder itself is off on these slides (another stain), fine-tuning the head "
    "will not mend this."
)
STATUS = {
    Status.IDLE: "",
    Status.RUNNING: "Learning.",
    Status.STOPPING: "Stopping …",
    Status.STOPPED: "Stopped. What was learnt so far is on disk: go on, keep a model of it, "
    "or discard it.",
    Status.DONE: "Done. The model is chosen in <b>Analyse</b>, and its figures are below.",
}
"""What is said of a run."""
TUNES = {
    "head": "only its last layer",
    "aggregator": "all but the projection of patches",
    "all": "everything",
}
"""What of a model learns, for people."""
ROLE_NAMES = {
    "train": "training",
    "val": "validation",
    "test": "held out",
    "": "not used",
}
FEW = 10
"""Patients of validation below which a figure cannot tell better from worse."""


def split_table(split: Split | None) -> str:
    """Show slides and patients of each role and class.

    Parameters
    ----------
    split : Split or None
        What a run would have.

    Returns
    -------
    str
        Rich text; "" without a split.
    """
    if split is None:
        return ""
    head = "".join(f"<th align='right'>&nbsp;{escape(c)}</th>" for c in split.classes)
    rows = [f"<tr><th></th>{head}</tr>"]
    for role, pairs in split.counts.items():
        cells = "".join(
            f"<td align='right'>&nbsp;{slides} / {patients}</td>"
            for slides, patients in pairs
        )
        rows.append(f"<tr><td>{ROLE_NAMES[role]}</td>{cells}</tr>")
    how = "Drawn by patient, stratified" if split.drawn else "Roles as given"
    said = [f"{how}; slides / patients."]
    if split.left_out:
        said.append(f"{split.left_out} slides without a class to learn are left out.")
    patients = sum(p for _, p in split.counts.get("val", ()))
    if "val" in split.counts and patients < FEW:
        said.append(
            f"{patients} validation patients are too few to tell whether it improved."
        )
    return f"<table>{''.join(rows)}</table>{' '.join(said)}"


def new_class(name: str) -> str:
    """Say what a class the model does not know asks for."""
    return (
        f"“{escape(name)}” is new to this model: {LEAST_PATIENTS} patients or more are "
        "needed, and old slides must have been looked through for it."
    )
