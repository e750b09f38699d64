"""What a format gives: files in memory, and what to tell about them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rendered:
    """A run in some format, not yet on the disk.

    Attributes:
        files: end of the path → content. The end is put behind the target's path as it is:
            "" for a format of one file, "/slot.json" for one of a folder.
        notes: for people: which trials are in the files, which were left out and why.
    """

    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()
