"""The jobs of the dock: which device there is, how many patches, and the prediction."""

import time
from pathlib import Path
from typing import Any

from psygnal import Signal

from napari_mhim import pipeline
from napari_mhim.errors import MhimError
from napari_mhim.events import Note, Progress
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.result import SlideResult
from napari_mhim.pipeline import PredictDone
from napari_mhim.plugin import jobs
from napari_mhim.plugin.estimate import PatchCount, count_patches
from napari_mhim.plugin.jobs import Job, JobState
from napari_mhim.plugin.state.desk import DeskState, bundle_folder
from napari_mhim.plugin.state.memory import Memory
from napari_mhim.settings import DeviceReady, describe_device


class Runs:
    """Starts the dock's jobs and notes in the state what they say."""

    finished = Signal(SlideResult)
    """Emitted when a prediction is done, with its result."""
    noted = Signal(str)
    """Emitted with each sentence a job wants read."""

    def __init__(self, state: DeskState, workspace: Path, device: str = "auto") -> None:
        self.state = state
        self.workspace = workspace
        self.wanted_device = device
        self.memory = Memory.read(workspace)
        self._job: Job | None = None
        self._asides: dict[str, Job] = {}
        self._first: tuple[float, int] | None = None

    def ask_device(self, wanted: str) -> None:
        """Find out, in a child process, where models will run."""
        self.wanted_device = wanted
        self.state.device = ""
        self._aside("device", describe_device, wanted)

    def count(self) -> None:
        """Count, in a child process, the patches a run would look at."""
        state, config = self.state, self.state.grid_config()
        state.n_patches = None
        if state.slide is None or state.mpp is None or config is None:
            return
        self._aside("count", count_patches, state.slide.path, config, self._slide_mpp())

    def choose_bundle(self, path: str) -> None:
        """Make a folder's model the one to run; what is wrong with it is told.

        Parameters
        ----------
        path : str
            The bundle's folder, or a file in it.
        """
        try:
            self.state.bundle = Bundle.open(bundle_folder(path))
        except MhimError as err:
            self.state.tell(err)
            return
        self.state.problem = ""
        self._recall_rate()
        self.memory.bundle = str(self.state.bundle.path)
        self._keep()

    def give_mpp(self, mpp: float) -> None:
        """Remember what the user says of a slide without a scale."""
        if self.state.slide is not None:
            self.memory.mpp[self.state.slide.fingerprint] = mpp
            self._keep()

    def known_mpp(self) -> float | None:
        """Give what the user once said of the slide on screen, None if nothing."""
        slide = self.state.slide
        return None if slide is None else self.memory.mpp.get(slide.fingerprint)

    def predict(self) -> None:
        """Run the model on the slide; nothing happens where it cannot run."""
        state = self.state
        if state.can_run() is not None:
            return
        assert state.slide is not None
        assert state.bundle is not None
        self._first = None
        state.problem = ""
        state.job.begin(f"Starting on {state.slide.name}")
        try:
            self._job = jobs.start(
                pipeline.predict_slide,
                state.slide.path,
                str(state.bundle.path),
                str(self.workspace),
                self.wanted_device,
                self._slide_mpp(),
                on_event=self._take,
                on_error=state.tell,
            )
        except MhimError as err:
            state.job.end()
            state.tell(err)
            return
        self._job.state_changed.connect(self._follow)

    def cancel(self) -> None:
        """Stop the prediction; what is extracted so far is kept on disk."""
        if self._job is not None:
            self._job.cancel()

    def stop_all(self) -> None:
        """Stop every job: the dock goes."""
        self.cancel()
        for job in self._asides.values():
            job.cancel()

    def _aside(self, name: str, function: Any, *args: Any) -> None:
        """Start a short question; an older one of the same name is not heard any more."""
        if name in self._asides:
            self._asides[name].cancel()

        def refuse(error: MhimError) -> None:
            if name == "device":
                self.state.device = f"no {self.wanted_device} here"
            self.state.tell(error)

        try:
            self._asides[name] = jobs.start(
                function, *args, on_event=self._take, on_error=refuse
            )
        except MhimError as err:
            refuse(err)

    def _take(self, event: object) -> None:
        if isinstance(event, Progress):
            now = time.monotonic()
            self.state.job.take(event, now)
            self._clock(event, now)
        elif isinstance(event, Note):
            self.noted.emit(event.text)
        elif isinstance(event, DeviceReady):
            self.state.device = event.detail
            self._recall_rate()
        elif isinstance(event, PatchCount):
            self.state.n_patches = event.n
        elif isinstance(event, PredictDone):
            self._finish(Path(event.result_path))

    def _finish(self, path: Path) -> None:
        try:
            result = SlideResult.load(path)
        except MhimError as err:
            self.state.tell(err)
            return
        slide = self.state.slide
        marks = ("", None if slide is None else slide.fingerprint)
        if (
            slide is None
            or slide.name != result.slide
            or result.fingerprint not in marks
        ):
            self.noted.emit(
                f"{result.slide} is done; its result is kept for when you open it again."
            )
            return
        self.finished.emit(result)

    def _follow(self, job_state: JobState) -> None:
        self.state.job.is_stopping = job_state is JobState.STOPPING
        if job_state is JobState.CANCELLED:
            self.noted.emit("Cancelled. What was extracted is kept.")
        if job_state.is_over:
            self.state.job.end()

    def _clock(self, event: Progress, now: float) -> None:
        """Learn how long a patch takes, for the next estimate."""
        if event.unit != "patches":
            return
        if self._first is None:
            self._first = (now, event.done)
        start, first = self._first
        if event.total and event.done == event.total and event.done > first:
            self.state.seconds_per_patch = (now - start) / (event.done - first)
            key = self.state.rate_key()
            self.memory.seconds_per_patch[key] = self.state.seconds_per_patch
            self._keep()

    def _recall_rate(self) -> None:
        known = self.memory.seconds_per_patch.get(self.state.rate_key())
        self.state.seconds_per_patch = known

    def _keep(self) -> None:
        try:
            self.memory.write(self.workspace)
        except MhimError as err:
            self.state.tell(err)

    def _slide_mpp(self) -> float | None:
        slide = self.state.slide
        return None if slide is None or slide.mpp else self.state.given_mpp
