"""Extra trials with probes, which say why a contender is as fast as it is.

A **pass** looks at one thing in a trial of its own: "phases" (the life of a request), "locks" and
"operations" (what a request costs in locks, objects, copies, torch calls), "gil" (who waits for
it), and "plain", which has no probe and tells what the others disturb. Each is a
`slotbench.measure.instrument.Instrument`, one file a pass. ``tools/`` holds the optional
profilers, one file each.

Nothing here is imported by a measured run, and no profile is ever compared.
"""
