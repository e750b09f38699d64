"""`python -m tests.stress`, from the checkout: rounds until enough replies were checked."""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import secrets
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from tests.stress.report import Report
from tests.stress.rounds import CONTENDERS, Setting, Tally, draw, play, prepare

# In turn; the queue, which takes five times as long for as many, once for two of each other.
_NAMES = (*(name for name in CONTENDERS if name != "threading"), *CONTENDERS)


def main() -> int:
    """Run; return the exit code: 0 if all held, 1 if not, or if time ran out."""
    args = _arguments()
    say(f"seed {args.seed}, {args.processes} processes of one round each at a time")
    # A round keeps one core busy at most where its threads share one GIL.
    with ProcessPoolExecutor(
        args.processes, multiprocessing.get_context("spawn"), prepare
    ) as pool:
        try:
            return _run_all(args, pool)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _run_all(args: argparse.Namespace, pool: ProcessPoolExecutor) -> int:
    report = Report()
    until = time.monotonic() + args.seconds
    numbers = itertools.count(args.first_round)
    running: dict[Future[Tally | str], tuple[int, str, Setting]] = {}
    cores = list(range(args.processes))  # that no running round may have for itself
    while report.num_replies < args.replies:
        left_s = until - time.monotonic()
        while left_s > 0 and len(running) < args.processes:
            number = next(numbers)
            contender = _NAMES[number % len(_NAMES)]
            setting = draw(f"{args.seed}/{number}", min(args.round_seconds, left_s))
            core = cores.pop() % (os.cpu_count() or 1)
            future = pool.submit(play, contender, setting, args.stall_seconds, core)
            running[future] = (number, contender, setting)
            future.add_done_callback(lambda _, core=core: cores.append(core))  # type: ignore[misc]
        if not running:
            say(report.table())
            say(
                f"time ran out: {report.summary()}, of {args.replies:,} asked for; "
                f"seed {args.seed}"
            )
            return 1
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            number, contender, setting = running.pop(future)
            try:
                tally = future.result()
            except BrokenProcessPool as exc:
                tally = f"the process died: {exc}"
            if isinstance(tally, str):
                say(
                    f"{number:4} {contender:24} {setting}; {sorted(setting.faults)}\n{tally}"
                )
                say(f"again: --seed {args.seed} --first-round {number} --processes 1")
                return 1
            say(f"{number:4} {contender:24} {report.add(contender, setting, tally)}")
    say(report.table())
    say(f"{report.summary()}, none lost, doubled, swapped or changed; seed {args.seed}")
    return 0


def say(text: str) -> None:
    """Print now."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("--replies", type=int, default=10_000_000, help="to be checked")
    parser.add_argument("--seconds", type=float, default=570.0, help="to do it in")
    parser.add_argument("--round-seconds", type=float, default=4.0)
    parser.add_argument(
        "--stall-seconds", type=float, default=20.0, help="until a round fails"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--first-round", type=int, default=0, help="to see a failure again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
