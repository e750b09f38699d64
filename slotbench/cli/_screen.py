"""What stdout is: a terminal of some width, with colours or not, or a file."""

import os
import shutil
import sys

from slotbench.draw.screen import PAPER, Screen


def stdout_screen() -> Screen:
    """Describe stdout; colours are left out where NO_COLOR or a dumb terminal asks for it."""
    if not sys.stdout.isatty():
        return PAPER
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    width = shutil.get_terminal_size((PAPER.width, 24)).columns
    return Screen(width=width, color=not is_plain)
