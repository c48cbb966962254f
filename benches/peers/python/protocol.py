"""Data, checksums, timing loop and protocol shared by the Python competitors."""
import gc
import json
import math
import os
import statistics
import sys
import time
import traceback

import numpy as np

SEED = {"X": 1, "W_X": 2, "W_H": 3, "b": 4, "b_H": 5, "W_loss": 6, "p": 7, "W_P": 8, "b_P": 9}
DIRECTION = {"W_H": 101, "W_X": 102}
DTYPE = {"f32": np.float32, "f64": np.float64}

# Gate blocks, and the parameters besides W_X, W_H and b.
CELLS = {
    "rnn_tanh": (1, {}), "lstm": (4, {}), "gru_reset_after": (3, {"b_H": ("3H",)}),
    "custom_peephole": (4, {"p": ("3", "H")}), "custom_mgu": (2, {}),
    "custom_cproj": (3, {"W_P": ("H", "H"), "b_P": ("H",)}), "custom_cornn": (1, {}),
}
GARCH = {"mu": -0.005, "omega": 0.01, "alpha": 0.15, "beta": 0.8}
LN_2PI = math.log(2 * math.pi)


class Unsupported(Exception):
    """A case this competitor does not run, with the reason."""


def raw(seed, n):
    """n numbers in [-1, 1), exact in f32: a hash of index and seed, modulo 2^32."""
    x = (np.arange(n, dtype=np.uint64) * 0x9E3779B1 + np.uint64(seed) * 0x85EBCA77) & 0xFFFFFFFF
    x ^= x >> 16
    x = (x * 0x7FEB352D) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x846CA68B) & 0xFFFFFFFF
    x ^= x >> 16
    return (x >> 8).astype(np.float64) * 2.0**-23 - 1.0


def problem(case):
    """Parameters by name, inputs X [T, B, K] and weights of the loss [T, B, H]."""
    if case["cell"] not in CELLS:
        raise Unsupported("no such cell")
    gates, extra = CELLS[case["cell"]]
    T, B, K, H = (case[k] for k in "TBKH")
    columns = 2 * H if case["cell"] == "custom_cornn" else H
    length = {"H": H, "3H": 3 * H, "3": 3}
    shapes = {"W_X": (gates * H, K), "W_H": (gates * H, columns), "b": (gates * H,)}
    shapes |= {name: tuple(length[d] for d in dims) for name, dims in extra.items()}

    def tensor(name, shape, scale):
        values = raw(SEED[name], math.prod(shape)) * scale
        return values.astype(DTYPE[case["dtype"]]).reshape(shape)

    scale = lambda name, shape: 1 / math.sqrt(shape[1]) if name.startswith("W") else 0.1
    params = {name: tensor(name, shape, scale(name, shape)) for name, shape in shapes.items()}
    weights = tensor("W_loss", (T, B, H), 1 / math.sqrt(T * B * H))
    return params, tensor("X", (T, B, K), 1.0), weights


def returns():
    """The returns of GARCH(1, 1)."""
    here = os.path.dirname(os.path.abspath(__file__))
    return np.loadtxt(os.path.join(here, "../../../data/dmbp.csv"), skiprows=1)


def checksum(loss, gradient):
    """Norms of the gradients in the shared layout, and products that detect permutations."""
    arrays = {name: np.asarray(g, dtype=np.float64) for name, g in gradient.items()}
    norm = lambda names: math.sqrt(sum(np.sum(arrays[n] ** 2) for n in names))
    sums = {"loss": float(loss)}
    sums |= {f"d{n}_norm": norm([n]) for n in ("W_X", "W_H", "b")}
    sums |= {f"d{n}_dot": float(arrays[n].ravel() @ raw(seed, arrays[n].size))
             for n, seed in DIRECTION.items()}
    if extra := [n for n in arrays if n not in ("W_X", "W_H", "b")]:
        sums["dextra_norm"] = norm(extra)
    return sums


def garch_checksum(loss, gradient):
    return {"loss": float(loss)} | {f"d{n}": float(g) for n, g in zip(GARCH, gradient)}


def measure(run, seconds, warm):
    """Times of `run`, which returns when the results are complete."""
    start = time.perf_counter()
    for _ in range(2 if warm else 0):
        run()
        if time.perf_counter() - start > 0.5:
            break
    times, total = [], 0
    gc.collect()
    gc.disable()
    try:
        while not times or (total < 30e9 and len(times) < 200_000 and (
                total < seconds * 1e9 or (seconds > 0 and len(times) < 5 and total < 1e9))):
            start = time.perf_counter_ns()
            run()
            times.append(time.perf_counter_ns() - start)
            total += times[-1]
    finally:
        gc.enable()
    return {"median_ns": int(statistics.median(times)), "min_ns": min(times), "runs": len(times)}


def serve(build):
    """Answers cases; `build(case)` returns the timed function and a function for the checksum."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of libraries goes to stderr, not into the protocol
    print(json.dumps({"ready": True}), file=out)
    fields = ("cell", "T", "B", "K", "H", "dtype", "threads", "what")
    key, ready = None, None
    for line in filter(str.strip, sys.stdin):
        case = json.loads(line)
        answer = {"id": case.get("id")}
        try:
            if case.get("cmd") == "drop":
                key = ready = None
                gc.collect()
                answer["ok"] = True
            else:
                warm = not case.get("no_warm")
                asked = tuple(case[f] for f in fields)
                if key != asked:
                    key = ready = None
                    gc.collect()
                    if case["what"] != "gradient":
                        raise Unsupported("only gradients")
                    start = time.time()
                    run, sums = build(case)
                    if warm:
                        run()
                    key, ready = asked, [run, sums, time.time() - start, 0]
                run, sums, setup, last = ready
                answer |= measure(run, case.get("min_seconds", 1.0), warm and last < 2e8)
                ready[3] = answer["median_ns"]
                answer["setup_s"] = setup
                answer["checksum"] = {} if case.get("no_checksum") else sums()
        except Unsupported as reason:
            answer["unsupported"] = str(reason)
        except Exception as error:
            traceback.print_exc()
            answer["unsupported"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        print(json.dumps(answer), file=out)
