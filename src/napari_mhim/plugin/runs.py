"""The jobs of the dock: which device there is, how many patches, and the prediction."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from psygnal import Signal

from napari_mhim import pipeline
from napari_mhim.errors import MhimError
from napari_mhim.events import Note, Progress
from napari_mhim.mil.bundle import Bundle
from napari_mhim.mil.result import SlideResult
from napari_mhim.pipeline import PredictDone, SlideFailed
from napari_mhim.plugin import jobs
from napari_mhim.plugin.estimate import PatchCount, count_patches
from napari_mhim.plugin.jobs import Job, JobState
from napari_mhim.plugin.state.desk import DeskState, bundle_folder
from napari_mhim.plugin.state.memory import Memory
from napari_mhim.plugin.tissue_settings import why_anew
from napari_mhim.settings import DeviceReady, describe_device
from napari_mhim.workspace import Workspace


class Runs:
    """Starts the dock's jobs and notes in the state what they say."""

    finished = Signal(SlideResult)
    """Emitted when a prediction is done, with its result."""
    noted = Signal(str)
    """Emitted with each sentence a job wants read."""
    slide_begun = Signal(str)
    """Emitted with the path of each slide of a queue when its turn comes."""
    slide_done = Signal(str, str)
    """Emitted with the paths of a slide and of its result, for each prediction done."""
    slide_failed = Signal(str, str)
    """Emitted with the path of a slide of a queue, and why it could not be done."""
    heard = Signal(object)
    """Emitted with each event of its own of a job of :meth:`start`."""
    ended = Signal()
    """Emitted when a prediction or a queue is over, however."""

    def __init__(self, state: DeskState, workspace: Path, device: str = "auto") -> None:
        self.state = state
        self.workspace = self.home = workspace
        self.wanted_device = device
        self.memory = Memory.read(workspace)
        self._job: Job | None = None
        self._asides: dict[str, Job] = {}
        self._first: tuple[float, int] | None = None
        self._queue: list[str] = []
        self._n_queued = 0

    def use_workspace(self, folder: Path) -> None:
        """Keep features and results in another folder; what the window remembers stays.

        Parameters
        ----------
        folder : Path
            The workspace.
        """
        self.workspace = folder

    def ask_device(self, wanted: str) -> None:
        """Find out, in a child process, where models will run."""
        self.wanted_device = wanted
        self.state.device = ""
        self._aside("device", describe_device, wanted)

    def count(self) -> None:
        """Count, in a child process, the patches a run would look at."""
        state, config = self.state, self.state.grid_config()
        state.n_patches = None
        self.look_at_features()
        if state.slide is None or state.mpp is None or config is None:
            return
        if state.slide.scene:
            return  # a run would look at the first scene
        tissue = Workspace(self.workspace).tissue_path(state.slide.name)
        given = self._slide_mpp()
        self._aside("count", count_patches, state.slide.path, config, given, tissue)

    def look_at_features(self) -> None:
        """Note whether the slide's features were made with other tissue settings."""
        self.state.features_note = why_anew(self.state, self.workspace)

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
        self.keep()

    def give_mpp(self, mpp: float) -> None:
        """Remember what the user says of a slide without a scale."""
        if self.state.slide is not None:
            self.memory.mpp[self.state.slide.fingerprint] = mpp
            self.keep()

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
        self._queue, self._n_queued = [], 0
        self._begin(
            f"Starting on {state.slide_name()}",
            pipeline.predict_slide,
            state.slide.path,
            str(state.bundle.path),
            str(self.workspace),
            self.wanted_device,
            self._slide_mpp(),
            None,  # what is saved with the slide
            True,
        )

    def predict_many(self, slides: Sequence[str]) -> None:
        """Run the model on slides, one after another, in one job.

        Parameters
        ----------
        slides : sequence of str
            Their files, with different names. Nothing happens while another job runs, or
            without a model.
        """
        state = self.state
        if state.job.is_busy or state.bundle is None or not slides:
            return
        self._queue, self._n_queued = list(slides), len(slides)
        self._begin(
            f"Starting on {len(slides)} slide{'' if len(slides) == 1 else 's'}",
            pipeline.predict_slides,
            list(slides),
            str(state.bundle.path),
            str(self.workspace),
            self.wanted_device,
            None,
            None,  # what is saved with each slide
            True,
        )

    def _begin(self, stage: str, function: Any, *args: Any) -> None:
        state = self.state
        self._first = None
        state.problem = ""
        state.job.begin(stage)
        try:
            self._job = jobs.start(
                function, *args, on_event=self._take, on_error=state.tell
            )
        except MhimError as err:
            self._job = None
            state.job.end()
            state.tell(err)
            self.ended.emit()
            return
        if self._queue:
            self.slide_begun.emit(self._queue[0])
        self._job.state_changed.connect(self._follow)

    def start(self, stage: str, function: Any, *args: Any) -> bool:
        """Start another long job; events of its own come by ``heard``.

        Parameters
        ----------
        stage : str
            What the job bar says until the job does.
        function : callable
            Top-level generator function.
        *args : plain values
            Its arguments.

        Returns
        -------
        bool
            False where another job is at work.
        """
        if self.state.job.is_busy:
            return False
        self._queue, self._n_queued = [], 0
        self._begin(stage, function, *args)
        return True

    @property
    def has_failed(self) -> bool:
        """Tell whether the last long job ended by an error, or could not begin."""
        return self._job is None or self._job.state is JobState.FAILED

    def cancel(self) -> None:
        """Stop the job; what is extracted or written so far is kept on disk."""
        if self._job is not None:
            self._job.cancel()

    def stop_all(self) -> None:
        """Stop every job: the dock goes."""
        if self._job is not None:
            # it ends after the dock has gone: nobody is there to be told
            self._job.state_changed.disconnect(self._follow, missing_ok=True)
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
            self.state.job.take(replace(event, stage=self._stage(event)), now)
            self._clock(event, now)
        elif isinstance(event, Note):
            self.noted.emit(self.state.without_names(event.text))
        elif isinstance(event, DeviceReady):
            self.state.device = event.detail
            self._recall_rate()
        elif isinstance(event, PatchCount):
            self.state.n_patches = event.n
        elif isinstance(event, PredictDone):
            self._finish(Path(event.result_path))
            self.slide_done.emit(event.slide, event.result_path)
            self._next(event.slide)
        elif isinstance(event, SlideFailed):
            self.slide_failed.emit(event.slide, event.reason)
            self._next(event.slide)
        else:
            self.heard.emit(event)

    def _next(self, done: str) -> None:
        """Note that a slide of the queue is over, and whose turn it is."""
        if done in self._queue:
            self._queue.remove(done)
            self._first = None
            if self._queue:
                self.slide_begun.emit(self._queue[0])

    def _stage(self, event: Progress) -> str:
        """Say what is being done, and to which slide of how many."""
        stage = self.state.without_names(event.stage)
        if self._n_queued < 2:
            return stage
        at = self._n_queued - len(self._queue) + 1
        return f"Slide {min(at, self._n_queued)} of {self._n_queued}: {stage}"

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
            if not self._n_queued:
                done = f"{result.slide} is done; its result is kept for when you open it again."
                self.noted.emit(self.state.without_names(done))
            return
        self.look_at_features()
        self.finished.emit(result)

    def _follow(self, job_state: JobState) -> None:
        self.state.job.is_stopping = job_state is JobState.STOPPING
        if job_state is JobState.CANCELLED:
            self.noted.emit("Cancelled. What was finished is kept.")
        if job_state.is_over:
            self._queue, self._n_queued = [], 0
            self.state.job.end()
            self.ended.emit()

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
            self.keep()

    def _recall_rate(self) -> None:
        known = self.memory.seconds_per_patch.get(self.state.rate_key())
        self.state.seconds_per_patch = known

    def keep(self) -> None:
        """Write down what the window remembers; what is wrong with that is told."""
        try:
            self.memory.write(self.home)
        except MhimError as err:
            self.state.tell(err)

    def _slide_mpp(self) -> float | None:
        slide = self.state.slide
        return None if slide is None or slide.mpp else self.state.given_mpp
