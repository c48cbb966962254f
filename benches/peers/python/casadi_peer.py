"""CasADi, f64, one sequence: a scalar graph of the step mapped over T, in its virtual machine (`vm`)
or as C compiled by gcc (`codegen`)."""
import os
import subprocess
import sys
import tempfile

import casadi as ca
import numpy as np

from protocol import CELLS, GARCH, LN_2PI, Unsupported, checksum, garch_checksum, problem, returns, serve

MOST_PRODUCTS = 60_000  # per step; beyond, the scalar graph takes minutes to make
GCC_SECONDS = 120
sigmoid = lambda x: 1 / (1 + ca.exp(-x))


def compiled(f):
    """The function as C code, compiled and loaded."""
    folder = tempfile.mkdtemp(prefix="casadi_peer_")
    source, library = os.path.join(folder, "f.c"), os.path.join(folder, "f.so")
    generator = ca.CodeGenerator("f.c")
    generator.add(f)
    generator.generate(folder + os.sep)
    flags = ["-O3", "-march=native", "-fPIC", "-shared"]
    try:
        subprocess.run(["gcc", *flags, "-o", library, source, "-lm"], check=True,
                       timeout=GCC_SECONDS, stderr=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Unsupported(f"gcc -O3 takes longer than {GCC_SECONDS} s") from None
    return ca.external(f.name(), library)


def timed(f, arguments, sums):
    """Runs f, from buffers to buffers: a loss and its gradient."""
    if sys.argv[1] == "codegen":
        f = compiled(f)
    buffer, evaluate = f.buffer()
    arguments = [np.ascontiguousarray(a, dtype=np.float64).ravel() for a in arguments]
    results = [np.zeros(1), np.zeros(arguments[0].size)]
    for i, argument in enumerate(arguments):
        buffer.set_arg(i, memoryview(argument))
    for i, result in enumerate(results):
        buffer.set_res(i, memoryview(result))
    keep = (buffer, arguments)
    return (lambda keep=keep: evaluate()), lambda: sums(results[0][0], results[1])


def network(case):
    cell, (T, B, K, H) = case["cell"], (case[k] for k in "TBKH")
    if B != 1:
        raise Unsupported("B = 1 only")
    if cell not in ("rnn_tanh", "lstm", "gru_reset_after"):
        raise Unsupported("cell not written")
    if CELLS[cell][0] * H * (K + H) > MOST_PRODUCTS:
        raise Unsupported("the scalar graph is too large")
    P, X, W = problem(case)
    ends = np.cumsum([0] + [v.size for v in P.values()]).tolist()
    flat = ca.SX.sym("p", ends[-1])
    parts = {name: flat[a:b] for name, a, b in zip(P, ends, ends[1:])}
    # CasADi stores columns; the data is row-major.
    matrix = lambda n: ca.reshape(parts[n], *P[n].shape[::-1]).T
    states = 2 if cell == "lstm" else 1
    s, x = ca.SX.sym("s", states * H), ca.SX.sym("x", K)
    h, a = s[:H], matrix("W_X") @ x + parts["b"]
    if cell == "rnn_tanh":
        after = ca.tanh(a + matrix("W_H") @ h)
    elif cell == "lstm":
        i, f, g, o = ca.vertsplit(a + matrix("W_H") @ h, H)
        c = sigmoid(f) * s[H:] + sigmoid(i) * ca.tanh(g)
        after = ca.vertcat(sigmoid(o) * ca.tanh(c), c)
    else:
        (a_r, a_z, a_n), u = ca.vertsplit(a, H), matrix("W_H") @ h + parts["b_H"]
        u_r, u_z, u_n = ca.vertsplit(u, H)
        r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
        after = (1 - z) * ca.tanh(a_n + r * u_n) + z * h
    steps = ca.Function("step", [s, x, flat], [after]).mapaccum(T)
    p, inputs, weights = ca.MX.sym("p", ends[-1]), ca.MX.sym("X", K, T), ca.MX.sym("W", H, T)
    found = steps(ca.MX.zeros(states * H, 1), inputs, ca.repmat(p, 1, T))
    loss = ca.dot(found[:H, :], weights)
    f = ca.Function("f", [p, inputs, weights], [loss, ca.gradient(loss, p)])
    flat_values = np.concatenate([v.ravel() for v in P.values()])
    split = lambda g: {n: g[a:b].reshape(P[n].shape) for n, a, b in zip(P, ends, ends[1:])}
    return timed(f, [flat_values, X[:, 0], W[:, 0]], lambda loss, g: checksum(loss, split(g)))


def garch():
    r = returns()
    v, square, theta = ca.SX.sym("v"), ca.SX.sym("e2"), ca.SX.sym("theta", 4)
    after = theta[1] + theta[2] * square + theta[3] * v
    steps = ca.Function("step", [v, square, theta], [after]).mapaccum(r.size)
    p, data = ca.MX.sym("p", 4), ca.MX.sym("r", 1, r.size)
    squares = (data - p[0]) ** 2
    start = p[1] + (p[2] + p[3]) * ca.sum2(squares) / r.size
    variances = ca.horzcat(start, steps(start, squares, ca.repmat(p, 1, r.size))[:, :-1])
    loss = 0.5 * ca.sum2(LN_2PI + ca.log(variances) + squares / variances)
    f = ca.Function("f", [p, data], [loss, ca.gradient(loss, p)])
    return timed(f, [np.array(list(GARCH.values())), r], garch_checksum)


def build(case):
    if case["dtype"] != "f64":
        raise Unsupported("f64 only")
    return garch() if case["cell"] == "garch" else network(case)


if __name__ == "__main__":
    serve(build)
