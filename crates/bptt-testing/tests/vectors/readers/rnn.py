import sys

import numpy as np

file = np.load(sys.argv[1])
assert file["format"] == 1


def loss_and_gradient(W_H, W_X, b_h, W_O, b_q, x, y, lengths):
    """The code under test: a tanh RNN with a linear readout and half the squared error."""
    loss = 0.0
    dW_H, dW_X, db_h, dW_O, db_q = (np.zeros_like(a) for a in (W_H, W_X, b_h, W_O, b_q))
    for b, length in enumerate(lengths):
        h = [np.zeros_like(b_h)]
        for t in range(length):
            h.append(np.tanh(W_H @ h[t] + W_X @ x[t, b] + b_h))
        dh = np.zeros_like(b_h)
        for t in reversed(range(length)):
            error = W_O @ h[t + 1] + b_q - y[t, b]
            loss += 0.5 * error @ error
            dW_O += np.outer(error, h[t + 1])
            db_q += error
            da = (dh + W_O.T @ error) * (1 - h[t + 1] ** 2)
            dW_H += np.outer(da, h[t])
            dW_X += np.outer(da, x[t, b])
            db_h += da
            dh = W_H.T @ da
    return loss, {"W_H": dW_H, "W_X": dW_X, "b_h": db_h, "W_O": dW_O, "b_q": db_q}


compared = 0
for number in range(int(file["count"])):
    get = lambda path: file[f"{number}/{path}"]
    params = [get(f"params/{name}") for name in ("W_H", "W_X", "b_h", "W_O", "b_q")]
    loss, gradient = loss_and_gradient(*params, get("inputs/x"), get("inputs/y"), get("lengths"))
    found = {"loss": loss} | {f"gradient/{name}": array for name, array in gradient.items()}
    for path, array in found.items():
        expected, bound = get(path), get(f"bound/{path}")
        # NaN: an output beyond the length of its sample, which is not defined.
        near = (np.abs(array - expected) <= bound) | np.isnan(expected)
        assert np.all(near), f"vector {number}: {path} is {array}, expected {expected}"
        compared += expected.size
print(f"{compared} numbers agree")
