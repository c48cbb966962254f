#!/usr/bin/env python3
"""Times exported C beside the C that CasADi generates for the same gradients, both compiled with the same options.

    benches/peers/exported.py target/release/bptt      needs gcc, and numpy and casadi in this Python

Prints the median time of each, in turn, and the ratio.
"""
import ctypes
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
BPTT = os.path.abspath(sys.argv[1])
sys.argv = ["casadi_peer.py", "codegen"]
sys.path.insert(0, os.path.join(HERE, "python"))

import casadi_peer  # noqa: E402
from protocol import GARCH, checksum, garch_checksum, problem, returns  # noqa: E402

FLAGS = ["-O3", "-march=native", "-fPIC", "-shared"]  # those of casadi_peer
HEAD = "dim H, K\ninput x[K], w[H]\n"
CELLS = {
    "rnn_tanh": HEAD + "param W_X[H, K], W_H[H, H], b[H]\nstate h[H]\n"
    "h' = tanh(W_X @ x + W_H @ h + b)\nloss w @ h'\n",
    "lstm": HEAD + "param W_X[4*H, K], W_H[4*H, H], b[4*H]\nstate h[H], c[H]\na = W_X @ x + W_H @ h + b\n"
    "c' = sigmoid(a[H:2*H]) * c + sigmoid(a[0:H]) * tanh(a[2*H:3*H])\n"
    "h' = sigmoid(a[3*H:4*H]) * tanh(c')\nloss w @ h'\n",
    "gru_reset_after": HEAD + "param W_X[3*H, K], W_H[3*H, H], b[3*H], b_H[3*H]\nstate h[H]\n"
    "a = W_X @ x + b\nu = W_H @ h + b_H\nr = sigmoid(a[0:H] + u[0:H])\nz = sigmoid(a[H:2*H] + u[H:2*H])\n"
    "n = tanh(a[2*H:3*H] + r * u[2*H:3*H])\nh' = (1 - z) * n + z * h\nloss w @ h'\n",
}
CASES = [(cell, *shape) for shape in ((1000, 2, 4), (10000, 1, 2)) for cell in CELLS] + [("garch", 1974, 1, 1)]


def exported(cell, dims, params, inputs):
    """A function without arguments that computes the gradient, and its outputs."""
    folder = tempfile.mkdtemp(prefix="exported_")
    text = os.path.join(folder, "cell.rec")
    if cell in CELLS:
        with open(text, "w") as file:
            file.write(CELLS[cell])
    sizes = ["--dims", dims] if dims else []
    subprocess.run([BPTT, "export", text if cell in CELLS else "garch11", "--to", "c", "--what", "gradient", *sizes,
                    "--name", "cell", "--out", folder, "--quiet"], check=True)
    library = os.path.join(folder, "cell.so")
    subprocess.run(["gcc", *FLAGS, "-std=c99", "-o", library, os.path.join(folder, "cell.c"), "-lm"], check=True)
    code = ctypes.CDLL(library)
    code.cell_workspace.restype, code.cell_workspace.argtypes = ctypes.c_size_t, [ctypes.c_size_t]
    steps = inputs.shape[0]
    arrays = [params, inputs, np.zeros(params.size + 1), np.zeros(code.cell_workspace(steps))]
    pointers = [a.ctypes.data_as(ctypes.POINTER(ctypes.c_double)) for a in arrays]
    call = lambda: code.cell_gradient(pointers[0], pointers[1], ctypes.c_size_t(steps), pointers[2], pointers[3])
    assert call() == 0
    return call, arrays


def ours(case):
    if case["cell"] == "garch":
        order = ("mu", "omega", "alpha", "beta")
        call, arrays = exported("garch", "", np.array([GARCH[n] for n in order]), returns()[:, None].copy())
        return call, lambda: garch_checksum(arrays[2][0], arrays[2][1:])
    P, X, W = problem(case)
    inputs = np.ascontiguousarray(np.concatenate([X[:, 0], W[:, 0]], axis=1))
    flat = np.concatenate([v.ravel() for v in P.values()])
    call, arrays = exported(case["cell"], f"H={case['H']},K={case['K']}", flat, inputs)

    def sums():
        ends = np.cumsum([1] + [v.size for v in P.values()])
        found = {n: arrays[2][a:b].reshape(P[n].shape) for n, a, b in zip(P, ends, ends[1:])}
        return checksum(arrays[2][0], found)

    return call, sums


def once(call, seconds=0.1):
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times)) / 1e3


def main():
    print(f"{'case':32} {'exported':>10} {'CasADi':>10} {'ratio':>7}")
    for cell, T, K, H in CASES:
        case = {"cell": cell, "T": T, "B": 1, "K": K, "H": H, "dtype": "f64"}
        (mine, my_sums), (other, other_sums) = ours(case), casadi_peer.build(case)
        mine(), other()
        found, expected = my_sums(), other_sums()
        for name, value in expected.items():
            assert abs(found[name] - value) <= 1e-10 * max(1, abs(value)), (cell, name, found[name], value)
        rounds = [(once(mine), once(other)) for _ in range(7)]
        a, b = (float(np.median(side)) for side in zip(*rounds))
        print(f"{cell + f' ({T}, 1, {K}, {H})':32} {a:8.1f} µs {b:8.1f} µs {b / a:6.2f}x")


main()
