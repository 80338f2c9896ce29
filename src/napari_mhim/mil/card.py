"""The card of a trained model: what it is, on how much it rests, what it must not be used for."""

from collections.abc import Mapping
from typing import Any

from napari_mhim.mil.bundle_config import BundleConfig, easy_share
from napari_mhim.mil.hints import HintCounts

_FIGURES = (
    ("auc", "AUC"),
    ("f1", "F1"),
    ("accuracy", "Accuracy"),
    ("balanced_accuracy", "Balanced accuracy"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
)


def card(config: BundleConfig) -> str:
    """Write the card of a model.

    Parameters
    ----------
    config : BundleConfig
        The model's settings and figures.

    Returns
    -------
    str
        Markdown with the YAML head that the Hugging Face hub reads; no slide's or
        patient's name is in it.
    """
    parts = (
        _head(config),
        f"# {config.name}\n",
        "**Research use only. Not for diagnosis.** Use on patients needs the "
        "institution's own validation.\n",
        _what(config),
        _data(config),
        _figures(config),
        _reading(config),
        _licence(config),
    )
    return "\n".join(parts)


def _head(config: BundleConfig) -> str:
    return (
        "---\nlibrary_name: napari-mhim\ntags:\n- pathology\n- whole-slide-image\n"
        f"- multiple-instance-learning\n- {config.model}\n---\n"
    )


def _what(config: BundleConfig) -> str:
    trained = config.trained
    target = config.classes[config.target_index]
    where = "a momentum teacher" if config.has_teacher else "no teacher"
    lines = [
        "## What it is\n",
        f"- Classes: {', '.join(config.classes)}; class of interest: {target}",
        f"- Model: {config.model}, recipe {config.recipe} ({where})",
        f"- Features: {config.encoder_id}, length {config.in_dim}",
    ]
    if config.mpp is not None:
        lines.append(
            f"- Patches: {config.patch_model_px} px at {config.mpp:g} µm per px"
        )
    if config.mask_ratio_high:
        lines.append(
            f"- Hidden as easy in training: {config.mask_ratio_high:.3g} of each slide"
            + (f": {found}" if (found := easy_share(config)) else "")
        )
    if config.origin:
        lines.append(
            f"- Trained elsewhere: imported from {config.origin['file']} "
            f"({config.origin['layout']}; SHA-256 {config.origin['sha256']})"
        )
        return "\n".join(lines) + "\n"
    lines.append(
        f"- Trained {trained.get('time', 'at an unknown time')}, seed "
        f"{trained.get('seed', 'unknown')}, best epoch {trained.get('best_epoch', '?')} "
        f"of {trained.get('epochs', '?')}"
    )
    if hints := trained.get("hints"):
        lines.append(_hints(hints))
    if parent := trained.get("parent"):
        lines += _parent(parent)
    return "\n".join(lines) + "\n"


def _hints(hints: Mapping[str, Any]) -> str:
    """Say on how many patches people told the model what is there."""
    if not hints["slides"]:
        return "- Region hints: asked for, but no training slide had any"
    said = HintCounts(hints["slides"], hints["patches"]).text
    return f"- Region hints, drawn by people: {said}; weight {hints['weight']:g}"


def _parent(parent: Mapping[str, Any]) -> list[str]:
    """Say which model this one goes on from, on how many slides, and what that changed."""
    added = "; ".join(
        f"{role}: " + ", ".join(f"{n} {name}" for name, n in some.items())
        for role, some in parent["added"].items()
    )
    old = ", ".join(f"{n} {role}" for role, n in parent["old"].items())
    how = (
        "The cut-off alone is new; nothing was trained"
        if parent["tuned"] == "cut-off"
        else f"Fine-tuned (tuned: {parent['tuned']})"
    )
    lines = [
        f"- {how}: goes on from {parent['name']} ({parent['id']}). Slides added: "
        f"{added or 'none'}; slides of its own: {old or 'none'}"
    ]
    if parent["tuned"] == "cut-off":
        was = parent["cutoff_before"]
        lines.append("- Cut-off before: " + (f"{was['value']:.3f}" if was else "none"))
    for key, label in (("auc_before", "before"), ("auc_after", "after")):
        if (entry := parent.get(key)) and entry["value"] is not None:
            lines.append(
                f"- AUC {label} on the same {entry['n']} validation slides of "
                f"{parent['patients']} patients: {entry['value']:.2f} "
                f"({entry['low']:.2f}–{entry['high']:.2f})"
            )
    return lines


def _data(config: BundleConfig) -> str:
    counts: Mapping[str, Mapping[str, int]] = config.trained.get("slides", {})
    if not counts:
        return "## Data\n\nNot stated.\n"
    head = "| role | patients | " + " | ".join(config.classes) + " |\n"
    rule = "|---" * (2 + len(config.classes)) + "|\n"
    patients: Mapping[str, int] = config.trained.get("patients", {})
    rows = "".join(
        f"| {role} | {patients.get(role, '?')} | "
        + " | ".join(str(some.get(name, 0)) for name in config.classes)
        + " |\n"
        for role, some in counts.items()
    )
    return f"## Data\n\nSlides of each class:\n\n{head}{rule}{rows}"


def _figures(config: BundleConfig) -> str:
    if not config.metrics and config.origin:
        return (
            "## Figures\n\nNot assessed here. Figures published for this model are its "
            "authors', not ours.\n"
        )
    if not config.metrics:
        return "## Figures\n\nNot assessed.\n"
    lines = [
        "## Figures on the validation slides\n",
        "Epoch and cut-off were chosen on these slides, so the figures are optimistic: "
        "judge the model by slides it has never seen.\n",
        "| figure | value | 95 % interval | n |\n|---|---|---|---|",
    ]
    lines += [_figure(label, config.metrics[key], "slides") for key, label in _FIGURES]
    grouped: Mapping[str, Any] = config.metrics.get("per_patient", {})
    if grouped:
        lines += [_figure(label, grouped[key], "patients") for key, label in _FIGURES]
    lines.append("\n" + _doubts(config))
    lines.append("\nBy site or subgroup: not assessed.")
    return "\n".join(lines) + "\n"


def _doubts(config: BundleConfig) -> str:
    """Say what low teacher–student agreement is worth, as far as validation tells."""
    found = config.agreement_errors
    if not found:
        return "Whether low teacher–student agreement predicts errors: not assessed."
    worth = "a caution" if found["low"] > 0.5 else "no caution: it may be chance"
    return (
        f"Low teacher–student agreement predicted {found['errors']} errors on "
        f"{found['n']} validation slides with AUROC {found['auroc']:.2f} (interval from "
        f"{found['low']:.2f}): {worth}. Both can be wrong together."
    )


def _figure(label: str, entry: Mapping[str, Any], unit: str) -> str:
    n = f"{entry['n']} {unit}"
    if entry["value"] is None:
        return f"| {label} | not defined | {entry['reason']} | {n} |"
    interval = f"{entry['low']:.2f}–{entry['high']:.2f}"
    return f"| {label} | {entry['value']:.2f} | {interval} | {n} |"


def _reading(config: BundleConfig) -> str:
    target = config.classes[config.target_index]
    if config.cutoff is None:
        cutoff = "No cut-off was chosen."
    else:
        cutoff = (
            f"Cut-off for {target}: {config.cutoff.value:.3f}, set on {config.cutoff.n} "
            f"{config.cutoff.where} slides. A score below it does not exclude {target}."
        )
    calibrated = " They are not calibrated."
    if config.calibrated:
        calibrated = (
            f" They are calibrated by a temperature of {config.temperature:.2f}, fitted "
            f"on {config.calibrated_on} validation slides; elsewhere, with another "
            "share of the disease, they need it anew."
        )
    return (
        "## How to read it\n\n"
        "Scores run from 0 to 1 and are not the probability that a patient has a "
        f"disease.{calibrated} {cutoff} A patient's score is the largest of the "
        "patient's slides.\n"
    )


def _licence(config: BundleConfig) -> str:
    licence = config.encoder_licence or "not stated; ask before sharing the model"
    encoder = f"## Licence of the encoder\n\n{config.encoder_id}: {licence}\n"
    if not config.origin:
        return encoder
    ours = config.origin["licence"] or "not stated: ask its authors before sharing it"
    return f"## Licence of the model\n\n{config.origin['file']}: {ours}\n\n{encoder}"
