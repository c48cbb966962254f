"""Peak memory and time of one gradient as sequences grow (Linux)."""
import math

from cases import Case
from competitors import OURS, Competitor, Gone

PEERS = (OURS, "torch_builtin", "jax_scan_hoisted", "candle", "burn")
LONG = 4000
OUR_STEPS = (100, 316, 1000, 3162, LONG, 10000)


def lstm(steps):
    return Case("memory", "lstm", steps, 32, 64, 128, "f32", 1, 0.0)


def status(pid, key):
    """A memory figure of the process, in MB."""
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def one(command, steps, log):
    """Memory of a gradient in MB, beyond that of a process that has run a tiny one, and time in nanoseconds.

    The high-water mark is reset before the second gradient, so that compilation does not count."""
    competitor = Competitor(command, 1, log)
    try:
        once = {"no_warm": True, "no_checksum": True, "min_seconds": 0}
        tiny = {"T": 8, "B": 2, "K": 3, "H": 4}
        pid = competitor.process.pid
        competitor.ask(lstm(steps).message(**once) | tiny)
        base = status(pid, "VmRSS")
        for _ in range(2):
            with open(f"/proc/{pid}/clear_refs", "w") as marks:
                marks.write("5")
            answer = competitor.ask(lstm(steps).message(**once))
            if "unsupported" in answer:
                raise Gone(answer["unsupported"])
        return {"mb": status(pid, "VmHWM") - base, "ns": answer["median_ns"]}
    finally:
        competitor.close()


def measure(commands, names, log):
    found = {}
    for name in (n for n in PEERS if n in names):
        found[name] = {}
        for steps in OUR_STEPS if name == OURS else (LONG,):
            try:
                found[name][steps] = one(commands[name], steps, log)
            except Gone as gone:
                found[name][steps] = {"note": str(gone)}
            print(f"  memory  {name:17} T {steps:6} {found[name][steps]}", flush=True)
    return found


def exponent(points):
    """The slope of log y over log x by least squares."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean = [sum(v) / len(logs) for v in zip(*logs)]
    up = sum((x - mean[0]) * (y - mean[1]) for x, y in logs)
    return up / sum((x - mean[0]) ** 2 for x, _ in logs)
