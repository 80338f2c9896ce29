"""Bundle and bag to result: the student's view, and what the teacher would have hidden."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mhim import __version__
from napari_mhim.errors import FeatureMismatchError, StoreError
from napari_mhim.mil.bags import Bag, bag_of, is_finite
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.bundle_config import easy_share
from napari_mhim.mil.masking import high_mask
from napari_mhim.mil.memory import naming
from napari_mhim.mil.model import MILOutput
from napari_mhim.mil.result import SlideResult, contribution
from napari_mhim.mil.scoring import as_array, resident, scores_of
from napari_mhim.mil.temperature import tempered
from napari_mhim.mil.unlike import FAR, distance
from napari_mhim.settings import resolve_device

if TYPE_CHECKING:
    from napari_mhim.features.store import FeatureStore


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the models say of a bag of N instances; fields as in ``SlideResult``."""

    probabilities: NDArray[np.float32]
    remaining: NDArray[np.float32]
    attention: NDArray[np.float32]
    evidence: NDArray[np.float32]
    student_scores: NDArray[np.float32]
    teacher_scores: NDArray[np.float32]
    mask: NDArray[np.bool_]


class Predictor:
    """A bundle's models on one device, for many slides.

    Parameters
    ----------
    bundle : Bundle
        The model.
    device : str
        One of ``settings.DEVICES``.

    Raises
    ------
    BundleError
        If the weights are not of the model.
    ConfigError
        If the device is not on this computer.
    """

    def __init__(self, bundle: Bundle, device: str = "auto") -> None:
        self.bundle = bundle
        self.device = resolve_device(device)
        self._student = bundle.student(self.device)
        self._teacher = bundle.teacher(self.device)
        self._statistics = bundle.statistics()

    @torch.no_grad()
    def probabilities(self, bag: Bag) -> NDArray[np.float32]:
        """Give the class probabilities of one bag alone, shape (C,); errors as :meth:`predict`."""
        x = resident([self._checked(bag)], self.device)[0].to(self.device)
        return self._scaled(self._student(x))

    @torch.no_grad()
    def both(self, bag: Bag) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the student's and the teacher's probabilities, (C,) each; as :meth:`predict`.

        Without a teacher they are the same.
        """
        x = resident([self._checked(bag)], self.device)[0].to(self.device)
        student = self._scaled(self._student(x))
        teacher = self._teacher
        return student, student if teacher is None else self._scaled(teacher(x))

    @torch.no_grad()
    def predict(self, bag: Bag) -> SlideResult:
        """Give the whole result of one bag.

        Parameters
        ----------
        bag : Bag
            Features of a slide, with positions.

        Returns
        -------
        SlideResult
            The student on the whole bag; the mask is the high part alone, undecayed and
            without chance (ρ = 1), by the teacher's scores or, without one, the student's.

        Raises
        ------
        FeatureMismatchError
            If the features are of another encoder or scale, or have no positions.
        StoreError
            If they hold NaN.
        """
        config, grid = self.bundle.config, self._checked(bag).grid
        if grid is None:
            raise FeatureMismatchError(
                f"features of slide {bag.name!r} have no patch positions, so nothing can "
                "be shown on the slide; extract it here"
            )
        with naming(
            bag, StoreError, "predict with device 'cpu', or on a larger computer"
        ):
            seen = self._see(resident([bag], self.device)[0].to(self.device))
        attention, evidence = seen.attention, seen.evidence
        return SlideResult(
            slide=bag.name,
            path=bag.path,
            fingerprint=bag.fingerprint,
            slide_shape=bag.slide_shape,
            slide_mpp=bag.slide_mpp,
            grid=grid,
            bundle=self.bundle.name,
            bundle_id=self.bundle.id,
            classes=config.classes,
            target=config.target_index,
            probabilities=seen.probabilities,
            remaining=seen.remaining,
            attention=attention,
            branches=self._student.branches,
            evidence=evidence,
            evidence_kind=self._student.evidence_kind,
            evidence_limits=self._limits(attention, evidence),
            student_scores=seen.student_scores,
            teacher_scores=seen.teacher_scores,
            score_source="own scores" if self._teacher is None else "teacher",
            mask=seen.mask,
            mask_ratio_high=config.mask_ratio_high,
            cutoff=config.cutoff,
            calibrated=config.calibrated,
            role=config.role_of(bag.name, bag.fingerprint),
            provenance={
                "napari-mhim": __version__,
                "encoder": bag.encoder_id,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "device": self.device,
                "evidence limits": config.evidence_limits_from or "this slide alone",
                "easy share": easy_share(config),
                FAR: self._far(bag),
            },
        )

    def _see(self, x: Tensor) -> _Seen:
        """Look at a bag, shape (N, in_dim), with one model after the other.

        Of 200 000 instances, what a model keeps for one output is hundreds of megabytes: it
        goes before the next comes.
        """
        config, student = self.bundle.config, self._student
        # a recipe that says nothing of it masks by the model's own scores
        kind = config.recipe_settings.get("instance_scores", "own")

        def judged(output: MILOutput) -> tuple[Tensor, NDArray[np.float32]]:
            mask = high_mask(
                output.scores_by(kind),
                config.mask_ratio_high,
                fusion=config.head_fusion,
            )
            return mask, scores_of(output, config.head_fusion, kind)

        guided = None if self._teacher is None else judged(self._teacher(x))
        h = student.embed(x)  # (N, D)
        output = student.aggregate(h)
        probabilities = self._scaled(output)
        attention, evidence = as_array(output.attention), as_array(output.evidence)
        student_scores = scores_of(output, config.head_fusion, kind)
        mask, teacher_scores = guided or judged(output)
        del output
        remaining = probabilities
        if mask.any():  # an instance is embedded alone: no need to do it again
            h = h[~mask]
            remaining = self._scaled(student.aggregate(h))
        return _Seen(
            probabilities=probabilities,
            remaining=remaining,
            attention=attention,
            evidence=evidence,
            student_scores=student_scores,
            teacher_scores=teacher_scores,
            mask=mask.cpu().numpy(),
        )

    def _far(self, bag: Bag) -> str:
        """Give how far a bag is from the training features, as text; "" where not known."""
        found = distance(bag.features.mean(axis=0), self._statistics)
        return f"{found:.6g}" if np.isfinite(found) else ""

    def _scaled(self, output: MILOutput) -> NDArray[np.float32]:
        """Give the probabilities of an output, calibrated where the bundle is, shape (C,)."""
        raw = as_array(self._student.probabilities(output))
        return tempered(raw, self.bundle.config.temperature).astype(np.float32)

    def _checked(self, bag: Bag) -> Bag:
        self.bundle.check(bag)
        if not is_finite(bag.features):
            raise StoreError(
                f"features of slide {bag.name!r} hold NaN or infinite numbers; extract "
                "the slide again"
            )
        return bag

    def _limits(
        self, attention: NDArray[np.float32], evidence: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Give the bundle's colour limits; a bundle from elsewhere has none, the slide must do."""
        if self.bundle.config.evidence_limits:
            return np.array(self.bundle.config.evidence_limits, np.float32)
        size = np.abs(contribution(attention, evidence))
        least = np.finfo(np.float32).tiny
        limits = np.percentile(size, 99, axis=0)
        return np.asarray(np.maximum(limits, least), np.float32)


def predict(
    bundle: Bundle,
    features: "FeatureStore | Bag",
    device: str = "auto",
    slide_path: str = "",
) -> SlideResult:
    """Run a model on one slide's features.

    Parameters
    ----------
    bundle : Bundle
        The model.
    features : FeatureStore or Bag
        Features of the slide.
    device : str
        One of ``settings.DEVICES``.
    slide_path : str
        Where the slide file is, for the result; "" leaves what the bag says.

    Returns
    -------
    SlideResult
        As :meth:`Predictor.predict`.

    Raises
    ------
    FeatureMismatchError
        If the features are of another encoder or scale, or have no positions.
    BundleError
        If the weights are not of the model.
    StoreError
        If the features cannot be read or hold NaN.
    ConfigError
        If the device is not on this computer.
    """
    # before the store is read whole: a wrong encoder is the common mistake
    bundle.check(features)
    bag = features if isinstance(features, Bag) else bag_of(features)
    if slide_path:
        bag = replace(bag, path=slide_path)
    return Predictor(bundle, device).predict(bag)
