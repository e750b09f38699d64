"""The harness proves itself: comparisons whose truth is known, because it was put there.

`study` sends a simulated contender through the real path, `rivals` sends the same data
through other tools, `real` does the like on this machine, `criteria` says what must hold.
Importing this loads nothing.
"""
