"""Micrometres per pixel as files state them, and whether a microscope can have them."""

import math

MPP_RANGE = (0.02, 20.0)
"""Micrometres per pixel that a microscope can have: outside, it is a unit error."""

Mpp = tuple[float, float] | None
"""(y, x) µm per level-0 pixel, or None."""

_UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}
_UM_PER_NAME = {
    **{"m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "um": 1.0, "nm": 1e-3, "Å": 1e-4},
    **{"meter": 1e6, "centimeter": 1e4, "millimeter": 1e3, "micrometer": 1.0},
    **{"nanometer": 1e-3, "angstrom": 1e-4, "micron": 1.0},
}


def checked(y: float | None, x: float | None, said_by: str) -> tuple[Mpp, str]:
    """Accept micrometres per pixel only where a microscope can have them.

    Parameters
    ----------
    y, x : float, optional
        µm per level-0 pixel; one alone stands for both.
    said_by : str
        What part of the file says so, for the reason.

    Returns
    -------
    mpp : tuple of float, or None
        (y, x) µm per level-0 pixel.
    reason : str
        Why it is None, empty otherwise.
    """
    y, x = (y if y is not None else x), (x if x is not None else y)
    if y is None or x is None:
        return None, f"the file gives no scale in its {said_by}"
    low, high = MPP_RANGE
    if low <= y <= high and low <= x <= high:
        return (y, x), ""
    return None, (
        f"the scale in its {said_by} is {x:.4g} × {y:.4g} µm per pixel{_looks_like(x)}, "
        f"and a microscope's lies between {low:g} and {high:g}"
    )


def from_resolution(
    x: tuple[int, int] | None, y: tuple[int, int] | None, unit: int
) -> tuple[Mpp, str]:
    """Read the scale from a TIFF's resolution tags.

    Parameters
    ----------
    x, y : tuple of int, optional
        Pixels per unit, as numerator and denominator.
    unit : int
        2 inch, 3 centimetre; anything else is no length.

    Returns
    -------
    mpp : tuple of float, or None
        (y, x) µm per level-0 pixel.
    reason : str
        Why it is None, empty otherwise.
    """
    if x is None or y is None:
        return None, "the file has no resolution tag"
    if unit not in _UM_PER_UNIT:
        return None, "the file's resolution tag has no unit of length"
    if not (x[0] and x[1] and y[0] and y[1]):
        return None, f"the file's resolution tag is {x[0]}/{x[1]}, which is no scale"
    per_unit = _UM_PER_UNIT[unit]
    return checked(per_unit * y[1] / y[0], per_unit * x[1] / x[0], "resolution tag")


def to_um(value: str | None, unit: str | None) -> float | None:
    """Turn a length with a unit, as OME-XML and OME-Zarr write it, into micrometres.

    Parameters
    ----------
    value : str, optional
        The number.
    unit : str, optional
        Its symbol or name; micrometres where not given.

    Returns
    -------
    float or None
        Micrometres; None where there is no number or no known unit.
    """
    factor = _UM_PER_NAME.get((unit or "µm").replace("μ", "µ"))
    number = to_number(value)
    return None if number is None or factor is None else number * factor


def to_number(text: str | None) -> float | None:
    """Read a number as slide files write it, None where there is none."""
    try:
        return float((text or "").strip().replace(",", "."))
    except ValueError:
        return None


def _looks_like(mpp: float) -> str:
    if not 0 < mpp < math.inf:
        return ""
    dpi = _UM_PER_UNIT[2] / mpp
    usual = min((72, 96, 150, 300, 600), key=lambda n: abs(n - dpi))
    is_print = abs(usual - dpi) < 0.01 * usual
    return f" ({usual} dots an inch, a screen's or a printer's)" if is_print else ""
