"""PyTorch: `builtin` layers, or a `loop` over the steps of a user's cell, input products hoisted."""
import sys

import torch

import cells
from protocol import GARCH, LN_2PI, Unsupported, checksum, garch_checksum, problem, returns, serve

LAYERS = {"rnn_tanh": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru_reset_after": torch.nn.GRU}


class F:
    sigmoid, tanh, addmm = torch.sigmoid, torch.tanh, torch.addmm
    split = staticmethod(lambda x, n: x.chunk(n, -1))
    join = staticmethod(lambda a, b: torch.cat((a, b), 1))


def timed(loss, params, sums):
    """Runs `loss()` and its gradient; `sums(loss, gradient)` is the checksum."""
    found = []

    def run():
        value = loss()
        found[:] = [value.detach(), torch.autograd.grad(value, params)]

    return run, lambda: sums(found[0], [g.numpy() for g in found[1]])


def builtin(case):
    if case["cell"] not in LAYERS:
        raise Unsupported("no built-in layer")
    P, X, W = problem(case)
    X, W = torch.from_numpy(X), torch.from_numpy(W).reshape(-1)
    layer = LAYERS[case["cell"]](case["K"], case["H"]).to(X.dtype)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.from_numpy(P["W_X"]))
        layer.weight_hh_l0.copy_(torch.from_numpy(P["W_H"]))
        layer.bias_ih_l0.copy_(torch.from_numpy(P["b"]))
        layer.bias_hh_l0.copy_(torch.from_numpy(P["b_H"]) if "b_H" in P else torch.zeros(()))
    params = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0]
    # The layers have a second bias vector, which only the GRU needs.
    names = ["W_X", "W_H", "b"] + ["b_H"] * ("b_H" in P)
    return timed(lambda: torch.dot(layer(X)[0].reshape(-1), W), params,
                 lambda loss, gradient: checksum(loss, dict(zip(names, gradient))))


def loop(case):
    if case["cell"] == "garch":
        return garch()
    cell, (T, B, K, H) = case["cell"], (case[k] for k in "TBKH")
    P, X, W = problem(case)
    P = {name: torch.from_numpy(v).requires_grad_() for name, v in P.items()}
    X, W = torch.from_numpy(X).reshape(T * B, K), torch.from_numpy(W).reshape(-1)

    def loss():
        Q = cells.prepare(cell, P, H)
        a = torch.addmm(Q["b"], X, Q["W_X"].T).reshape(T, B, -1)
        states = tuple(torch.zeros(B, H, dtype=X.dtype) for _ in range(cells.STATES[cell]))
        outputs = []
        for t in range(T):
            y, states = cells.step(cell, F, Q, a[t], states)
            outputs.append(y)
        return torch.dot(torch.stack(outputs).reshape(-1), W)

    return timed(loss, list(P.values()),
                 lambda value, gradient: checksum(value, dict(zip(P, gradient))))


def garch():
    r = torch.from_numpy(returns())
    theta = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in GARCH.values()]
    mu, omega, alpha, beta = theta

    def loss():
        squares = (r - mu) ** 2
        v = omega + (alpha + beta) * squares.mean()
        variances = []
        for square in squares.unbind():
            variances.append(v)
            v = omega + alpha * square + beta * v
        v = torch.stack(variances)
        return 0.5 * (LN_2PI + v.log() + squares / v).sum()

    return timed(loss, theta, garch_checksum)


def build(case):
    torch.set_num_threads(case["threads"])
    return {"builtin": builtin, "loop": loop}[sys.argv[1]](case)


if __name__ == "__main__":
    serve(build)
