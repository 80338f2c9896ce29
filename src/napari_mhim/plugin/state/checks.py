"""What was found on this computer, as text to pass on."""

from collections.abc import Sequence

from napari_mhim.doctor import Check


def as_text(checks: Sequence[Check]) -> str:
    """Give what was found, a line for each thing looked at and one for its fix.

    Parameters
    ----------
    checks : sequence of Check
        In the order of looking.

    Returns
    -------
    str
        Plain text.
    """
    lines = []
    for check in checks:
        lines.append(f"{check.status}  {check.name}: {check.message}")
        if check.fix:
            lines.append(f"      fix: {check.fix}")
    return "\n".join(lines)


def verdict(checks: Sequence[Check]) -> str:
    """Say in one sentence what it comes to.

    Parameters
    ----------
    checks : sequence of Check
        All of them.

    Returns
    -------
    str
        The worst that was found.
    """
    failed = [check.name for check in checks if check.status == "FAIL"]
    warned = [check.name for check in checks if check.status == "WARN"]
    if failed:
        return f"Not everything works: {', '.join(failed)}. The fix stands below each."
    if warned:
        return f"Everything needed works; to know: {', '.join(warned)}."
    return "Everything works."
