"""What this machine can tell apart, and what the parts of a transport cost on it.

`timers`, `recorder` and `primitives` measure in fresh processes, one thing each; `noise` is an A/A run
through the real executor and runner; `facts` reads the machine, `advice` says what to do about it; and
`diagnose` puts them together. Nothing here is recorded among the runs.
"""
