"""Measuring: from a `TrialSpec` to a `TrialRecord`, and from a scenario to all of them.

Two halves that meet only in plain records:

- what runs in a trial's own process: `trial` (one trial, start to end), `actors` (the
  closed loop), `environments` (what an actor steps), `policies` (what the server runs),
  `systems` and `floor` (what is measured), `identity` (every reply is checked),
  `waiting` (how to spend time), `machine` (what else ran there);
- what runs in the user's process: `design` (randomised complete blocks), `executor` and
  `zygote` (fresh processes), `runner` (the loop over trials). It imports no torch.
"""
