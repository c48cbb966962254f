"""Competitors as processes, timed in turn on the same case, and the check that they agree."""
import json
import math
import os
import select
import signal
import statistics
import subprocess
import time

OURS, BY_HAND = "bptt", "bptt_by_hand"
# Relative to the scale of the compared number; see `disagreements`.
TOLERANCE = {"f32": 1e-4, "f64": 1e-10}
# A competitor this many times slower than the best peer runs in the first round only.
HOPELESS = 3.0
START_SECONDS, ANSWER_SECONDS = 180, 240


def commands(folder, peer):
    """The command line of each competitor."""
    python, scripts = folder / "venv/bin/python", os.path.dirname(os.path.abspath(__file__))
    script = lambda name, variant: [str(python), f"{scripts}/python/{name}_peer.py", variant]
    rust = lambda name: [str(folder / "rust/release" / name)]
    return {
        OURS: [peer, "serve"],
        BY_HAND: [peer, "serve", "--by-hand"],
        "torch_builtin": script("torch", "builtin"),
        "torch_loop": script("torch", "loop"),
        "jax_scan": script("jax", "plain"),
        "jax_scan_hoisted": script("jax", "hoisted"),
        "casadi_vm": script("casadi", "vm"),
        "casadi_codegen": script("casadi", "codegen"),
        "candle": rust("peer-candle"),
        "burn": rust("peer-burn"),
        "rust_lstm": rust("peer-rust-lstm"),
    }


def takes_part(name, case):
    """The LSTM by hand is compared with the built-in one on one thread, in f32."""
    return name != BY_HAND or (case.cell, case.dtype, case.threads) == ("lstm", "f32", 1)


def pin(threads):
    """The `preexec_fn` of a child process, which pins it to the first cores."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))[:threads]
    return lambda: os.sched_setaffinity(0, cores)


# The environment in which a competitor uses no instruction set beyond this one. Programs that were compiled for the
# processor of this machine cannot be held to it.
LIMITED = {"avx2": {"BPTT_ISA": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
                    "MKL_ENABLE_INSTRUCTIONS": "AVX2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}}


def can_be_limited(name):
    return name in (OURS, BY_HAND) or name.startswith(("torch", "jax"))


class Gone(Exception):
    """A competitor that did not start, crashed or did not answer in time."""


class Competitor:
    """A process that answers cases. It is suspended when it is not its turn, so that a spinning
    thread pool does not disturb the others."""

    def __init__(self, command, threads, log):
        libraries = ("OMP", "MKL", "OPENBLAS", "RAYON")
        environment = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in libraries} | {
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()} "
                         + os.environ.get("XLA_FLAGS", ""),
        }
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0,
                env=environment, preexec_fn=pin(threads), start_new_session=True)
        except OSError as error:
            raise Gone(f"not installed ({error.strerror})") from error
        self.rest = b""
        self.read(START_SECONDS)
        self.signal(signal.SIGSTOP)

    def signal(self, which):
        os.killpg(self.process.pid, which)

    def read(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = max(0.0, end - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                self.close()
                raise Gone(f"no answer within {seconds} s")
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            if not more:
                raise Gone(f"ended with status {self.process.wait()}")
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def ask(self, message, seconds=ANSWER_SECONDS):
        self.signal(signal.SIGCONT)
        try:
            self.process.stdin.write((json.dumps(message) + "\n").encode())
        except BrokenPipeError:
            raise Gone(f"ended with status {self.process.wait()}") from None
        answer = self.read(seconds)
        self.signal(signal.SIGSTOP)
        return answer

    def close(self):
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()


class Field:
    """The competitors for one number type and number of threads, started on demand."""

    def __init__(self, commands, threads, log):
        self.commands, self.threads, self.log = commands, threads, log
        self.running = {}

    def ask(self, name, message):
        """The answer, or `{"unsupported": reason}`."""
        try:
            if name not in self.running:
                self.running[name] = Competitor(self.commands[name], self.threads, self.log)
            return self.running[name].ask(message)
        except Gone as gone:
            self.running.pop(name, None)
            return {"unsupported": str(gone)}

    def close(self):
        for competitor in self.running.values():
            competitor.close()
        self.running.clear()


def compete(field, names, case, rounds, seconds):
    """All competitors on one case in turn, A B C, C B A, …: medians, notes and disagreements."""
    answers, notes, checksums, idle = {}, {}, {}, set()
    for turn in range(rounds):
        for name in names if turn % 2 == 0 else names[::-1]:
            if name in notes or name in idle:
                continue
            answer = field.ask(name, case.message(min_seconds=seconds))
            if "unsupported" in answer:
                notes[name] = answer["unsupported"]
            else:
                answers.setdefault(name, []).append(answer["median_ns"])
                checksums[name] = answer["checksum"]
        peers = [t[0] for n, t in answers.items() if n not in (OURS, BY_HAND)]
        slow = HOPELESS * min(peers, default=math.inf)
        idle = {n for n, t in answers.items() if t[0] > slow and n not in (OURS, BY_HAND)}
    for name in list(field.running):
        field.ask(name, {"id": 0, "cmd": "drop"})
    return {
        "median_ns": {n: statistics.median(t) for n, t in answers.items()},
        "spread": {n: max(t) / min(t) for n, t in answers.items()},
        "notes": notes,
        "disagree": disagreements(checksums, TOLERANCE[case.dtype]),
    }


def disagreements(checksums, tolerance):
    """The numbers of each competitor that differ from the median. A loss is a sum of terms of both
    signs with a total size of about 1, and a product with a direction is small beside the norm."""
    found = {}
    for key in sorted({key for sums in checksums.values() for key in sums}):
        values = {name: sums[key] for name, sums in checksums.items() if key in sums}
        middle = sorted(values.values())[len(values) // 2]
        for name, value in values.items():
            scale = abs(middle)
            if key == "loss":
                scale = max(scale, 0.3)
            if key.endswith("_dot"):
                scale = max(scale, checksums[name][key.replace("_dot", "_norm")])
            if not abs(value - middle) <= tolerance * scale:
                found.setdefault(name, []).append(f"{key} {value:.9g}, not {middle:.9g}")
    return found
