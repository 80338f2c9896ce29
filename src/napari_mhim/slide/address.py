"""Where a slide lies: a path on this computer, or an address on the web."""

import re
from pathlib import Path

_URL = re.compile(r"^(https?):/+(?=[^/])", re.IGNORECASE)


def url_of(path: str | Path) -> str | None:
    """Give the web address that a path stands for.

    A ``Path`` made of an address has lost one of its two slashes; it is given back.

    Parameters
    ----------
    path : str or Path
        A path or an address.

    Returns
    -------
    str or None
        The address without a slash at its end; None for a path on this computer.
    """
    text = path if isinstance(path, str) else path.as_posix()
    match = _URL.match(text)
    if match is None:
        return None
    return f"{match[1].lower()}://{text[match.end() :].rstrip('/')}"
