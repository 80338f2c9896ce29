"""The words of the Train tab."""

from collections.abc import Iterable, Sequence
from html import escape

from napari_mhim.mil.result import SlideResult
from napari_mhim.mil.review import Reviewed
from napari_mhim.plugin.state.hints import HintsThere
from napari_mhim.plugin.state.split import Split
from napari_mhim.plugin.state.training import (
    CROSS_VALIDATION,
    CUTOFF,
    NEW,
    TUNE,
    Status,
)
from napari_mhim.slide.regions import Region, cells_inside

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
    Status.STOPPING: "Ending …",
    Status.PAUSED: "Paused. Its memory is free, and all but the epoch under way is on disk: "
    "resume now, or on another day.",
    Status.STOPPED: "Stopped. What was learnt so far is on disk: resume, keep a model of it, "
    "or discard it.",
    Status.FAILED: "It ended unasked; the reason stands above. What was learnt so far is on "
    "disk: resume, keep a model of it, or discard it.",
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
    rows = [_head(split.classes)]
    for role, pairs in split.counts.items():
        cells = (f"{slides} / {patients}" for slides, patients in pairs)
        rows.append(_line(ROLE_NAMES[role], cells))
    how = "Drawn by patient, stratified" if split.drawn else "Roles as given"
    said = [f"{how}; slides / patients."]
    if split.left_out:
        said.append(f"{split.left_out} slides without a class to learn are left out.")
    patients = sum(p for _, p in split.counts.get("val", ()))
    if "val" in split.counts and patients < FEW:
        said.append(
            f"{patients} validation patients are too few to tell whether it improved."
        )
    return f"<table>{''.join(rows)}</table>{' '.join(said)}{site_table(split)}"


def few_slides(n: int) -> str:
    """Advise to cross-validate where slides are few.

    Parameters
    ----------
    n : int
        Labelled slides.

    Returns
    -------
    str
        Rich text.
    """
    return (
        f"{n} slides are few: figures of one split depend on which slides happen to judge "
        "it. For figures to rely on, cross-validate by patient, with the baseline beside: "
        f"<code>napari-mhim train … {CROSS_VALIDATION}</code>. If the intervals overlap, "
        "take the simpler model."
    )


def site_table(split: Split) -> str:
    """Show slides of each site and class, and warn where a site gives the class away.

    Parameters
    ----------
    split : Split
        What a run would have.

    Returns
    -------
    str
        Rich text; "" where no slide says its site.
    """
    if not split.sites:
        return ""
    rows = [_head(split.classes)]
    rows += [
        _line(escape(site) or "no site", (str(n) for n in counts))
        for site, counts in split.sites.items()
    ]
    alone = [site for site, counts in split.sites.items() if sum(map(bool, counts)) < 2]
    caution = ""
    if alone:
        named = ", ".join(escape(site) or "no site" for site in alone)
        caution = f"All slides of {named} are of one class: {CONFOUNDED}"
    return f"<table>{''.join(rows)}</table>Slides by site. {caution}"


CONFOUNDED = (
    "a model may learn the scanner or stain in place of the disease. Add slides of "
    "another class from there."
)
"""What to know of a site whose slides are all of one class."""


def _head(classes: tuple[str, ...]) -> str:
    cells = "".join(f"<th align='right'>&nbsp;{escape(c)}</th>" for c in classes)
    return f"<tr><th></th>{cells}</tr>"


def _line(name: str, texts: Iterable[str]) -> str:
    cells = "".join(f"<td align='right'>&nbsp;{text}</td>" for text in texts)
    return f"<tr><td>{name}</td>{cells}</tr>"


HINTS = (
    "A label says that a class is somewhere on the slide; a region says where. Choose what "
    "is in it, draw it, and a run can learn from it. Draw what is there and what only looks "
    "like it. Regions are kept in the workspace."
)


def hints_line(there: HintsThere, weight: float) -> str:
    """Say how many regions on how many training slides would join a run.

    Parameters
    ----------
    there : HintsThere
        What the workspace has.
    weight : float
        Weight of their loss; 0 where they do not join.

    Returns
    -------
    str
        Plain text.
    """
    regions = "1 region" if there.regions == 1 else f"{there.regions} regions"
    slides = (
        "1 training slide" if there.slides == 1 else f"{there.slides} training slides"
    )
    if not there.regions:
        said = ["No training slide has a region named with a class."]
    elif weight:
        said = [f"{regions} on {slides} will join, with weight {weight:g}."]
    else:
        said = [f"{regions} on {slides} could join."]
    if there.unknown:
        what = "1 region has" if there.unknown == 1 else f"{there.unknown} regions have"
        said.append(f"{what} a name that is no class here.")
    if there.elsewhere:
        what = (
            "1 slide that does"
            if there.elsewhere == 1
            else (f"{there.elsewhere} slides that do")
        )
        said.append(f"Regions of {what} not train are never used.")
    return " ".join(said)


def hints_offer(wrong: Sequence[Reviewed]) -> str:
    """Say that wrong slides have regions a next run could learn from.

    Parameters
    ----------
    wrong : sequence of Reviewed
        Slides the model gets wrong that have regions named with a class.

    Returns
    -------
    str
        Plain text; "" where there is none.
    """
    if not wrong:
        return ""
    n = len(wrong)
    who = f"{wrong[0].slide} is wrong and has" if n == 1 else f"{n} wrong slides have"
    train = sum(one.role == "train" for one in wrong)
    what = f"{who} regions named with a class. "
    if train:
        return (
            f"{what}Shall a next run learn from them? Another run, then “Learn from "
            "regions, too”."
        )
    return (
        f"{what}They teach only as training slides: a slide that judges a model must not "
        "teach it."
    )


def region_size(
    one: Region, result: SlideResult | None, mpp: tuple[float, float] | None
) -> str:
    """Say how large a region is: in patches of the result, else by its area.

    Parameters
    ----------
    one : Region
        The region.
    result : SlideResult or None
        What a model saw of the slide.
    mpp : tuple of float or None
        (y, x) µm per level-0 pixel.

    Returns
    -------
    str
        Plain text.
    """
    if result is not None:
        n = int(cells_inside(one, result.grid).sum())
        return f"{n} patch{'' if n == 1 else 'es'}"
    if mpp is None:
        return f"{one.area_px:.0f} px²"
    return f"{one.area_px * mpp[0] * mpp[1] / 1e6:.2f} mm²"
