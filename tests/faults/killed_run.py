"""Train through the command line, be killed, and go on with the same command until it is done.

Started as a program by ``test_kills.py``: it imports PyTorch once, on one thread, and forks a
process for each session. It reads scenarios from standard input and writes what came of each.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from gptlib import files
from gptlib.cli import main
from gptlib.errors import CheckpointError
from gptlib.training import checkpoint, metrics
from gptlib.training.checkpoint import checkpoints, load_checkpoint, step_of
from gptlib.training.flops import peak_flops
from gptlib.training.trainer import Trainer

NOT_REPEATED = ("seconds", "tokens_per_second", "utilization", "peak_memory")


# In the session's own process


def die(*_, **__):
    """End as a power cut or the kernel would: nothing below this runs."""
    os.kill(os.getpid(), signal.SIGKILL)


def half(call, *arguments):
    """Get half of a file to the disk."""
    call(*arguments)
    path = next(argument for argument in arguments if isinstance(argument, Path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    die()


def half_a_folder(call, folder, **options):
    """Get half of a folder deleted: what vouches for it is still there."""
    (folder / "model.safetensors").unlink()
    die()


def half_a_row(call, log, **row):
    """Get half a row to the disk."""
    with log.path.open("a", encoding="utf-8") as file:
        file.write(metrics.json_line(row)[:20])
    die()


def after(call, *arguments, **options):
    """Do it, and die."""
    call(*arguments, **options)
    die()


def at(number, owner, name, act, where=lambda *arguments: True):
    """Let the call of that number, of those for which `where` holds, end the process by `act`."""
    call, calls = getattr(owner, name), iter(range(1, 1_000_000))

    def counted(*arguments, **options):
        if where(*arguments) and next(calls) == number:
            return act(call, *arguments, **options)
        return call(*arguments, **options)

    setattr(owner, name, counted)


def is_checkpoint(path):
    return checkpoint.NAME.fullmatch(Path(path).name) is not None


def taking(source, target):
    return is_checkpoint(target)


def losing(source, target):
    return is_checkpoint(source)


# What ends the process, and at which of these calls.
POINTS = {
    "half a file": lambda n: at(2 * n, checkpoint, "save_file", half),
    "after a file": lambda n: at(2 * n - 1, checkpoint, "save_file", after),
    "half the state": lambda n: at(n, files, "write_manifest", half),
    "after the state": lambda n: at(n, files, "write_manifest", after),
    "before the rename": lambda n: at(n, os, "rename", die, taking),
    "after the rename": lambda n: at(n, os, "rename", after, taking),
    "before an old one loses its name": lambda n: at(n, os, "rename", die, losing),
    "after an old one lost its name": lambda n: at(n, os, "rename", after, losing),
    "in the middle of deleting": lambda n: at(n, shutil, "rmtree", half_a_folder, Path.exists),
    "before deleting": lambda n: at(n, shutil, "rmtree", die, Path.exists),
    "half a row": lambda n: at(n, metrics.MetricsLog, "add", half_a_row),
    "while metrics are cut back": lambda n: at(
        n, os, "replace", die, lambda _, target: Path(target).name == metrics.FILE_NAME
    ),
}


def record_random_states(path):
    """Append the random state after each step: it must not depend on what came before."""
    update = Trainer.update

    def updated(self):
        seconds = update(self)
        state = hashlib.sha256(bytes(torch.get_rng_state().tolist())).hexdigest()
        line = json.dumps([self.step, state]) + "\n"
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(handle, line.encode())  # in one piece, whatever comes
        os.close(handle)
        return seconds

    Trainer.update = updated


def begin(run, arguments, point=None):
    """Fork a session."""
    process = os.fork()
    if process:
        return Session(process)
    code = 1
    try:
        with open(run.with_suffix(".log"), "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        torch.manual_seed(int.from_bytes(os.urandom(4)))  # another session draws what it likes
        record_random_states(run.with_suffix(".states"))
        if point:
            POINTS[point[0]](point[1])
        sys.argv = ["gptlib", "train", *arguments, "--out", str(run), "--resume"]
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


# In the process that starts the sessions


class Session:
    """A forked process; its exit code once it has ended, or minus the signal that ended it."""

    def __init__(self, process):
        self.process, self.code = process, None

    def ended(self, options=os.WNOHANG):
        if self.code is None:
            process, status = os.waitpid(self.process, options)
            self.code = os.waitstatus_to_exitcode(status) if process else None
        return self.code is not None

    def wait(self):
        self.ended(options=0)
        return self.code

    def kill(self, number):
        if not self.ended():
            os.kill(self.process, number)


def leftovers(run):
    """What a kill has left in a run's folder, by its ending: part, old."""
    found = (path.suffix for path in run.rglob(".*") if path.suffix in (".part", ".old"))
    return sorted(ending[1:] for ending in found)


def remains(run):
    """What is left right after a kill."""
    return {"damaged": damaged(run), "leftovers": leftovers(run)}


def damaged(run):
    """The checkpoints that are not whole though they have their name."""
    found = []
    for folder in checkpoints(run):
        try:
            load_checkpoint(folder)
        except CheckpointError as error:
            found.append(str(error))
    return found


def spoil_newest(run):
    """Damage the newest checkpoint, as a failing disk would."""
    with (checkpoints(run)[-1] / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")


def outcome(run):
    """Everything that a run has come to, without times."""
    found = load_checkpoint(checkpoints(run)[-1])
    numbers = {
        f"{file} {name}": hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy()).hexdigest()
        for file, named in found.tensors.items()
        for name, tensor in named.items()
    }
    rows = [
        {name: value for name, value in row.items() if name not in NOT_REPEATED}
        for row in metrics.read_metrics(run)
    ]
    rows[0]["training"].pop("checkpoint_every")  # changes nothing but when there are checkpoints
    return {
        "step": found.state["step"],
        "tensors": numbers,
        "rows": rows,
        "random states": sorted({(step, state) for step, state in states(run)}),
        "folders": sorted(path.name for path in (run / "checkpoints").iterdir()),
        "leftovers": leftovers(run),
    }


def finish(run, arguments, point=None):
    """Go on to the end."""
    code = begin(run, arguments, point).wait()
    if code:
        raise RuntimeError(f"exit code {code}: {run.with_suffix('.log').read_text()[-2_000:]}")


def at_points(run, arguments, points, spoil=False):
    """Be killed at each point in turn; `spoil` damages the newest checkpoint after the first."""
    seen = []
    for number, point in enumerate(points):
        code = begin(run, arguments, point).wait()
        seen.append({"code": code, **remains(run)})
        if spoil and number == 0:
            spoil_newest(run)
    finish(run, arguments)
    return {"kills": seen, **outcome(run)}


def by_chance(run, arguments, kind, count, writing, seconds, seed, options=()):
    """Be ended at random moments, and go on; as many runs as it takes.

    Args:
        kind: the signal's name.
        count: how often.
        writing: how many of these while a checkpoint is written; such a moment is waited for.
        seconds: that a whole run takes.
        options: added to the command.
    """
    arguments = [*arguments, *options]
    luck, seen, rounds, number = random.Random(seed), [], [], signal.Signals[kind]
    while len(seen) < count:
        place, done = run.with_name(f"{run.name}-{len(rounds)}"), False
        while not done and len(seen) < count:
            session = begin(place, arguments)
            wait_for_a_moment(session, place, luck, seconds, len(seen) < writing, kind)
            session.kill(number)
            code = session.wait()
            # a signal behind the last step finds nobody who listens: the run is done all the same
            done = (code == 0 or kind != "SIGKILL") and is_done(place)
            if not done:
                steps = steps_and_checkpoint(place)
                seen.append({"code": code, "steps": steps, **remains(place)})
        finish(place, arguments)
        rounds.append(outcome(place))
    return {"kills": seen, "rounds": rounds}


def wait_for_a_moment(session, run, luck, seconds, writing, kind):
    """Return at a random moment of a session, or within a write of it, or when it has ended."""
    if writing:
        wait_until(session, lambda: "part" in leftovers(run))
        time.sleep(luck.uniform(0, 0.01))
        return
    if kind != "SIGKILL":  # a signal is remembered from the moment the session listens
        before = len(states(run))
        wait_until(session, lambda: len(states(run)) > before)
    wait_until(session, lambda: False, luck.uniform(0, seconds / 2))


def wait_until(session, condition, seconds=60.0):
    """Return when the condition holds, the session has ended, or the time is over."""
    last = time.monotonic() + seconds
    while time.monotonic() < last and not condition() and not session.ended():
        time.sleep(0.0005)


def states(run):
    """What :func:`record_random_states` has written: [step, random state], repeats included."""
    path = run.with_suffix(".states")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def is_done(run):
    """Whether the newest checkpoint is that of the last step."""
    found = checkpoints(run)
    state = load_checkpoint(found[-1]).state if found else None
    return state is not None and state["step"] == state["training"]["steps"]


def steps_and_checkpoint(run):
    """Steps done in all sessions together, the last of them, and that of the newest checkpoint."""
    found, done = checkpoints(run), [step for step, _ in states(run)]
    return [len(done), done[-1] if done else 0, step_of(found[-1]) if found else 0]


def warm_up():
    """Let the sessions inherit what takes long: imports on first use, a measured speed."""
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    parameter.grad = torch.ones(2, 2)
    torch.optim.AdamW([parameter]).step()
    peak_flops(torch.device("cpu"), torch.float32)
    sys.argv = ["gptlib", "train", "sample-story", "--model", "no such model"]
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        main()


def run_scenarios(folder, arguments, scenarios):
    """The undisturbed run, and each scenario by its name."""
    torch.set_num_threads(1)
    warm_up()
    started = time.monotonic()
    finish(folder / "whole", arguments)
    seconds = time.monotonic() - started
    results = {"whole": outcome(folder / "whole")}
    for number, (name, scenario) in enumerate(scenarios.items()):
        run = folder / f"run-{number}"
        if "points" in scenario:
            results[name] = at_points(run, arguments, **scenario)
        else:
            results[name] = by_chance(run, arguments, seconds=seconds, seed=number, **scenario)
    return results


if __name__ == "__main__":
    plan = json.load(sys.stdin)
    results = run_scenarios(Path(plan["folder"]), plan["arguments"], plan["scenarios"])
    json.dump(results, sys.stdout)
