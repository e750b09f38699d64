"""``python -m slotbench``."""

from slotbench.cli import main

main()
