"""The `lstm` eval of GradBench: every tool is called on the same files, in turn."""
import json
import statistics
import subprocess

from competitors import OURS, pin

TOOLS = ("manual", "tapenade", "codipack", "cppad", "adept")
SIZES = [(layers, length) for layers in (2, 4, 6) for length in (1024, 4096, 8192)]
BITS = 14
TOLERANCE = 1e-10
TEXT = "It was the best of times; it was the worst of times, it was the age of wisdom\u2026 "
MASK = 0xFFFFFFFF


def uniform(seed, rows, columns):
    """Numbers in [0, 1), from the hash used by the other cases."""
    def entry(i):
        x = (i * 0x9E3779B1 + seed * 0x85EBCA77) & MASK
        x ^= x >> 16
        x = (x * 0x7FEB352D) & MASK
        x ^= x >> 15
        x = (x * 0x846CA68B) & MASK
        return ((x ^ x >> 16) >> 8) * 2.0**-24
    return [[entry(i * columns + j) for j in range(columns)] for i in range(rows)]


def write_input(path, layers, length):
    text = (TEXT * (length // len(TEXT) + 1))[:length]
    sequence = [[int(bit) for bit in f"{ord(c):0{BITS}b}"] for c in text]
    path.write_text(json.dumps({
        "state": uniform(51, 2 * layers, BITS), "main_params": uniform(52, 2 * layers, 4 * BITS),
        "extra_params": uniform(53, 3, BITS), "sequence": sequence,
        "min_runs": 5, "min_seconds": 0.3,
    }))


def call(command, path, function):
    """The result and the median time in nanoseconds."""
    done = subprocess.run([command, path, function], capture_output=True, text=True, timeout=300,
                          check=True, preexec_fn=pin(1))
    result, *lines = done.stdout.splitlines()
    times = [t["nanoseconds"] for t in map(json.loads, lines) if t["name"] == "evaluate"]
    return json.loads(result), statistics.median(times)


def error(found, expected):
    """The largest difference, relative to the largest entry."""
    found, expected = (v if isinstance(v, list) else [v] for v in (found, expected))
    if len(found) != len(expected):
        return float("inf")
    return max(abs(a - b) for a, b in zip(found, expected)) / max(map(abs, expected))


def measure(folder, ours, rounds, sizes):
    """For each size, the median time of each tool and function, and the tools whose results differ."""
    commands = {OURS: ours} | {
        tool: folder / f"gradbench/gradbench/tools/{tool}/bin/lstm" for tool in TOOLS}
    found = {}
    for layers, length in sizes:
        path = folder / f"lstm_l{layers}_c{length}.json"
        write_input(path, layers, length)
        entry = found[f"l = {layers}, c = {length}"] = {"notes": {}, "disagree": {}}
        for function in ("objective", "jacobian"):
            times, reference = {}, None
            for turn in range(rounds):
                names = list(commands)[:: 1 if turn % 2 == 0 else -1]
                for name in (n for n in names if n not in entry["notes"]):
                    try:
                        result, time = call(commands[name], path, function)
                    except (OSError, subprocess.SubprocessError, ValueError) as failure:
                        entry["notes"][name] = type(failure).__name__
                        continue
                    times.setdefault(name, []).append(time)
                    reference = reference or result
                    if not error(result, reference) <= TOLERANCE:
                        entry["disagree"][name] = f"{function}: {error(result, reference):.1e}"
            entry[function] = {name: statistics.median(t) for name, t in times.items()}
        print(f"  gradbench  l {layers} c {length:5} " + "  ".join(
            f"{n} {t / 1e6:.1f}" for n, t in entry["jacobian"].items()) + " ms", flush=True)
    return found
