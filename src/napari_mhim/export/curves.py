"""Curves as pictures: ROC, reliability, confusion, and how a training run went."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mhim.errors import WorkspaceError
from napari_mhim.export.tables import NOTICE
from napari_mhim.mil.evaluation import Group
from napari_mhim.mil.roc import roc
from napari_mhim.mil.run import RunFolder
from napari_mhim.workspace import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's: told apart with every kind of colour vision."""
PARTS = {
    "total": "training loss, total",
    "classification": "classification",
    "consistency": "consistency, before its weight",
    "hints": "region hints, before their weight",
}
"""How losses are called in the picture; others keep their names."""


def write_roc(
    groups: Sequence[Group], classes: Sequence[str], target: int, path: Path
) -> None:
    """Draw the ROC curve of each group, with the point the cut-off stands for.

    Parameters
    ----------
    groups : sequence of Group
        By slide, and by patient where there is one.
    classes : sequence of str
        Names of the classes; with more than two each gets a curve.
    target : int
        Class of interest.
    path : Path
        PNG file to write.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    chosen = [target] if len(classes) == 2 else list(range(len(classes)))
    pairs = [(group, index) for group in groups for index in chosen]
    with _picture(path, (5.2, 5.4)) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
        for number, (group, index) in enumerate(pairs):
            _draw_roc(axes, group, index, classes, COLOURS[number % len(COLOURS)])
        axes.set(
            xlabel="1 − specificity",
            ylabel="sensitivity",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
            aspect="equal",
            title=f"ROC: {', '.join(classes[index] for index in chosen)}",
        )
        axes.legend(loc="lower right", fontsize="small")


def _draw_roc(
    axes: "Axes", group: Group, index: int, classes: Sequence[str], colour: str
) -> None:
    curve = roc(group.labels, group.probabilities, index)
    n = len(group.labels)
    what = f"{classes[index]} " if len(classes) > 2 else ""
    if curve is None:
        axes.plot([], [], " ", label=f"{what}by {group.unit}: one class only (n = {n})")
        return
    metrics = group.metrics
    figure = f", AUC {metrics.auc}" if len(classes) == 2 else f" (n = {n})"
    axes.plot(
        curve.false_positive,
        curve.sensitivity,
        color=colour,
        label=f"{what}by {group.unit}{figure}",
    )
    if metrics.cutoff is not None:
        axes.plot(
            1 - metrics.specificity.value,
            metrics.sensitivity.value,
            "o",
            color=colour,
            label=f"cut-off {metrics.cutoff.value:.3f}, by {group.unit}",
        )


def write_reliability(group: Group, path: Path) -> None:
    """Draw the share of slides that are of the class against their score.

    Parameters
    ----------
    group : Group
        What was judged.
    path : Path
        PNG file to write.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    found = group.calibration
    with _picture(path, (5.2, 5.4)) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
        for one in found.bins:
            axes.plot([one.score] * 2, [one.low, one.high], color=COLOURS[0], alpha=0.6)
            axes.annotate(
                f"n = {one.n}",
                (one.score, one.share),
                textcoords="offset points",
                xytext=(5, 4) if one.score < 0.8 else (-5, 4),
                ha="left" if one.score < 0.8 else "right",
                fontsize="x-small",
            )
        scores = [one.score for one in found.bins]
        shares = [one.share for one in found.bins]
        axes.plot(scores, shares, "o-", color=COLOURS[0])
        axes.set(
            xlabel=f"mean score of the {found.what}",
            ylabel=f"share of {group.unit}s that are of it (95 % interval)",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
            aspect="equal",
            title=f"Reliability: ECE {found.ece}\nby chance alone "
            f"{found.ece_by_chance:.2f}",
        )


def write_confusion(group: Group, classes: Sequence[str], path: Path) -> None:
    """Draw how many slides of each class were called what.

    Parameters
    ----------
    group : Group
        What was judged.
    classes : sequence of str
        Names of the classes.
    path : Path
        PNG file to write.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    counts = np.array(group.metrics.confusion, float).reshape(len(classes), -1)
    of_class = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cutoff = group.metrics.cutoff
    at = "by the largest score" if cutoff is None else f"at cut-off {cutoff.value:.3f}"
    with _picture(path, (1.2 * len(classes) + 2.6, 1.2 * len(classes) + 2.4)) as figure:
        axes = figure.add_subplot()
        axes.imshow(counts / of_class, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(*counts.shape):
            share = counts[row, column] / of_class[row, 0]
            axes.text(
                column,
                row,
                f"{counts[row, column]:.0f}",
                ha="center",
                va="center",
                color="white" if share > 0.6 else "black",
            )
        places = range(len(classes))
        axes.set_xticks(places, classes)
        axes.set_yticks(places, classes)
        axes.set(xlabel="called", ylabel="labelled", title=f"{_plural(group)}, {at}")


def write_training(epochs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the losses and the validation AUC of one stage of training.

    Parameters
    ----------
    epochs : sequence of mapping
        The ``epoch`` events of a run's log, in order.
    path : Path
        PNG file to write.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    kept = max((e["epoch"] for e in epochs if e["is_best"]), default=None)
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch["losses"]))
    # a recipe with one loss has the total twice
    shown = names if len(names) > 2 else ["total"]
    with _picture(path, (6.4, 6)) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for name, colour in zip(shown, cycle(COLOURS[1:]), strict=False):
            _line(upper, epochs, ("losses", name), PARTS.get(name, name), colour)
        _line(upper, epochs, ("val", "loss"), "validation loss", COLOURS[0])
        _line(lower, epochs, ("val", "auc"), "validation AUC", COLOURS[0])
        for axes in (upper, lower):
            if kept is not None:
                axes.axvline(kept, color="0.6", linestyle="--", label=f"kept: {kept}")
            if axes.get_legend_handles_labels()[0]:
                axes.legend(fontsize="small")
        stage = epochs[-1]["stage"] if epochs else "no epoch yet"
        upper.set(ylabel="mean loss of a slide", title=f"Training, stage {stage}")
        lower.set(xlabel="epoch", ylabel="AUC", ylim=(-0.02, 1.02))


def _line(
    axes: "Axes",
    epochs: Sequence[Mapping[str, Any]],
    key: tuple[str, str],
    label: str,
    colour: str,
) -> None:
    found = [epoch[key[0]].get(key[1]) for epoch in epochs]
    # JSON has no NaN: what was undefined is None there, and a gap here
    values = [np.nan if value is None else value for value in found]
    if not np.isnan(values).all():
        numbers = [epoch["epoch"] for epoch in epochs]
        axes.plot(numbers, values, ".-", color=colour, label=label)


def write_run(run: Path, folder: Path) -> bool:
    """Draw how a run went, from its log, as ``training.png``.

    Parameters
    ----------
    run : Path
        A run's folder; may be none.
    folder : Path
        Where to write.

    Returns
    -------
    bool
        Whether there was a log, and so a picture.

    Raises
    ------
    WorkspaceError
        If the folder cannot be written or the disk is full.
    """
    epochs = RunFolder(run).epochs()
    if epochs:
        write_training(epochs, folder / "training.png")
    return bool(epochs)


def draw_run(run: Path) -> str:
    """Draw how a finished run went, and its baseline, in their own folders.

    Parameters
    ----------
    run : Path
        The run's folder.

    Returns
    -------
    str
        "", or why there is no picture: the model is on disk by then, and is not lost.
    """
    try:
        for stage in (run / "baseline", run):
            write_run(stage, stage)
    # matplotlib comes with this package, but an installation can be broken
    except (WorkspaceError, ImportError) as err:
        return f"The curves of training could not be drawn: {err}"
    return ""


def _plural(group: Group) -> str:
    n = len(group.labels)
    return f"{n} {group.unit}{'' if n == 1 else 's'}"


@contextmanager
def _picture(path: Path, inches: tuple[float, float]) -> Iterator["Figure"]:
    """Give a figure to draw on, and write it, whole or not at all."""
    # the object interface: pyplot would pick a window system
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    yield figure
    figure.supxlabel(NOTICE, fontsize="x-small", color="0.4")
    FigureCanvasAgg(figure)
    with writing(path) as part:
        figure.savefig(part, format="png", dpi=120)
