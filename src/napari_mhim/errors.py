"""What can go wrong, in one tree: ``except MhimError`` catches all of it.

Each error also derives from the built-in that fits, and its message is one sentence
for the person at the screen: what was wanted, what came, what is possible.

::

    MhimError
    ├── SlideError (OSError)           a file that is no slide, or cannot be read
    ├── UnknownMppError (ValueError)   a slide without micrometres per pixel
    ├── NoTissueError (ValueError)     a slide on which no tissue was found
    ├── RegionError (ValueError)       drawn regions that cannot be used on a slide
    ├── UnknownPartError (LookupError) no format, encoder, model or recipe of that name
    ├── MissingExtraError (ImportError) an optional package is not installed
    ├── ConfigError (ValueError)       a setting that cannot be
    ├── StoreError (OSError)           a feature or result file that cannot be used
    ├── FeatureMismatchError (ValueError) features of another slide, encoder or patch size
    ├── CohortError (ValueError)       a label table that cannot be used
    ├── BundleError (ValueError)       a model folder that cannot be used
    ├── TrainingError (RuntimeError)   training that cannot go on
    ├── WorkspaceError (OSError)       a folder that cannot be written, a full disk
    └── JobError (RuntimeError)        a child process that failed
"""


class MhimError(Exception):
    """Base of every error this package raises."""


class SlideError(MhimError, OSError):
    """A file is not a slide this package reads, or its pixels cannot be read."""


class UnknownMppError(MhimError, ValueError):
    """The slide does not say its micrometres per pixel, and nobody gave them."""


class NoTissueError(MhimError, ValueError):
    """No patch of the slide holds enough tissue."""


class RegionError(MhimError, ValueError):
    """A region encloses nothing, or is of another slide."""


class UnknownPartError(MhimError, LookupError):
    """No format, encoder, model or recipe has this name."""


class MissingExtraError(MhimError, ImportError):
    """An optional package is missing; the message names the extra to install."""


class ConfigError(MhimError, ValueError):
    """A setting is outside what is possible."""


class StoreError(MhimError, OSError):
    """A feature or result file is damaged, unfinished or of another kind."""


class FeatureMismatchError(MhimError, ValueError):
    """Features belong to another slide, encoder, resolution or patch size."""


class CohortError(MhimError, ValueError):
    """A label table names unknown slides, lacks a column, or cannot be trained on."""


class BundleError(MhimError, ValueError):
    """A model folder is incomplete, damaged, or made for something else."""


class TrainingError(MhimError, RuntimeError):
    """Training cannot go on; the last good checkpoint is kept."""


class WorkspaceError(MhimError, OSError):
    """A folder cannot be written, or the disk is full."""


class JobError(MhimError, RuntimeError):
    """A job in a child process failed or died."""
