"""Writes gradients.npz: ONNX models in double precision, their losses and gradients by JAX.

    pip install jax==0.10.2 onnx==1.22.0 numpy
    python3 tests/data/onnx/gradients.py

The functions below are the equations of the operators in the documentation of ONNX. `CASE/model` has the bytes of the model,
`CASE/gradient` those of the same model with the gradient of the loss in place of each initializer, `CASE/loss` the loss,
`CASE/in/NAME` an input, `CASE/out/NAME` an output and `CASE/of/NAME` the gradient of the loss with respect to an input.
"""

import os

import jax
import jax.numpy as np
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

jax.config.update("jax_enable_x64", True)
HERE = os.path.dirname(os.path.abspath(__file__))
T, B, K, H, O = 5, 3, 2, 4, 3
sigmoid = jax.nn.sigmoid


def lstm(x, w, d, h, c, back=False):
    Wi, Wo, Wf, Wc = np.split(w["W"][d], 4)
    Ri, Ro, Rf, Rc = np.split(w["R"][d], 4)
    bias = np.split(w["B"][d], 8)
    bi, bo, bf, bc = (bias[n] + bias[4 + n] for n in range(4))
    P = w.get("P")
    Pi, Po, Pf = np.split(P[d], 3) if P is not None else (0, 0, 0)
    steps = range(x.shape[0])
    ys = {}
    for t in reversed(steps) if back else steps:
        i = sigmoid(x[t] @ Wi.T + h @ Ri.T + Pi * c + bi)
        f = sigmoid(x[t] @ Wf.T + h @ Rf.T + Pf * c + bf)
        g = np.tanh(x[t] @ Wc.T + h @ Rc.T + bc)
        c = f * c + i * g
        o = sigmoid(x[t] @ Wo.T + h @ Ro.T + Po * c + bo)
        h = o * np.tanh(c)
        ys[t] = h
    return np.stack([ys[t] for t in steps]), h, c


def gru(x, w, d, h, after, back=False):
    Wz, Wr, Wh = np.split(w["W"][d], 3)
    Rz, Rr, Rh = np.split(w["R"][d], 3)
    wz, wr, wh, rz, rr, rh = np.split(w["B"][d], 6)
    steps = range(x.shape[0])
    ys = {}
    for t in reversed(steps) if back else steps:
        z = sigmoid(x[t] @ Wz.T + h @ Rz.T + wz + rz)
        r = sigmoid(x[t] @ Wr.T + h @ Rr.T + wr + rr)
        n = np.tanh(x[t] @ Wh.T + (r * (h @ Rh.T + rh) if after else (r * h) @ Rh.T + rh) + wh)
        h = (1 - z) * n + z * h
        ys[t] = h
    return np.stack([ys[t] for t in steps]), h


def weights(random, gates, directions, inputs, peepholes=False):
    array = lambda *shape: random.uniform(-0.8, 0.8, shape)
    w = {
        "W": array(directions, gates * H, inputs),
        "R": array(directions, gates * H, H),
        "B": array(directions, 2 * gates * H),
    }
    if peepholes:
        w["P"] = array(directions, 3 * H)
    return w


def info(name, shape, kind=TensorProto.DOUBLE):
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes, inputs, outputs, initializers):
    tensors = [numpy_helper.from_array(numpy.asarray(a), n) for n, a in initializers.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    model.producer_name = ""
    return numpy.frombuffer(model.SerializeToString(), numpy.uint8)


def squared(y, target):
    return np.mean((y - target) ** 2)


def put(found, case, nodes, infos, outputs, w, fixed, inputs, target, loss):
    """`loss(weights, inputs)` gives the loss and the outputs."""
    (value, out), (dw, dx) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(w, inputs)
    found[case + "/model"] = model_of(nodes, infos, outputs, {**w, **fixed})
    found[case + "/gradient"] = model_of(nodes, infos, outputs, {**dw, **fixed})
    found[case + "/loss"] = numpy.asarray(value)
    found[f"{case}/in/{target[0]}"] = numpy.asarray(target[1])
    order = {"h0": lambda a: a[0], "c0": lambda a: a[0]}
    for name, array in inputs.items():
        found[f"{case}/in/{name}"] = numpy.asarray(order.get(name, lambda a: a)(array))
        found[f"{case}/of/{name}"] = numpy.asarray(order.get(name, lambda a: a)(dx[name]))
    for name, array in out.items():
        found[f"{case}/out/{name}"] = numpy.asarray(array)


def peepholes(found, random):
    w = weights(random, 4, 1, K, True)
    inputs = {n: random.uniform(-1, 1, s) for n, s in {"x": (T, B, K), "h0": (1, B, H), "c0": (1, B, H)}.items()}
    target = random.uniform(-1, 1, (T, B, H))

    def loss(w, a):
        y, _, _ = lstm(a["x"], w, 0, a["h0"][0], a["c0"][0])
        return squared(y, target), {"h": y}

    nodes = [
        helper.make_node("LSTM", ["x", "W", "R", "B", "", "h0", "c0", "P"], ["Y"], hidden_size=H),
        helper.make_node("Squeeze", ["Y", "axes"], ["h"]),
    ]
    infos = [info("x", ["t", "b", K]), info("h0", [1, "b", H]), info("c0", [1, "b", H])]
    fixed = {"axes": numpy.array([1])}
    put(found, "peepholes", nodes, infos, [info("h", ["t", "b", H])], w, fixed, inputs, ("y", target), loss)


def reset(found, random, after):
    w = weights(random, 3, 1, K)
    inputs = {"x": random.uniform(-1, 1, (T, B, K)), "h0": random.uniform(-1, 1, (1, B, H))}
    target = random.uniform(-1, 1, (T, B, H))

    def loss(w, a):
        y, _ = gru(a["x"], w, 0, a["h0"][0], after)
        return squared(y, target), {"h": y}

    nodes = [
        helper.make_node("GRU", ["x", "W", "R", "B", "", "h0"], ["Y"], hidden_size=H, linear_before_reset=int(after)),
        helper.make_node("Squeeze", ["Y", "axes"], ["h"]),
    ]
    infos = [info("x", ["t", "b", K]), info("h0", [1, "b", H])]
    name = "reset_after" if after else "reset_before"
    fixed = {"axes": numpy.array([1])}
    put(found, name, nodes, infos, [info("h", ["t", "b", H])], w, fixed, inputs, ("y", target), loss)


def stacked(found, random):
    """Two bidirectional layers, an LSTM and a GRU, with a product, a sum and a softmax."""
    one, two = weights(random, 4, 2, K), weights(random, 3, 2, 2 * H)
    w = {**{n + "1": a for n, a in one.items()}, **{n + "2": a for n, a in two.items()}}
    w |= {"head": random.uniform(-1, 1, (2 * H, O)), "shift": random.uniform(-1, 1, O)}
    inputs = {"x": random.uniform(-1, 1, (T, B, K))}
    target = random.integers(0, O, (T, B))
    zero = np.zeros((B, H))

    def loss(w, a):
        first = {n: w[n + "1"] for n in "WRB"}
        second = {n: w[n + "2"] for n in "WRB"}
        fw, bw = lstm(a["x"], first, 0, zero, zero)[0], lstm(a["x"], first, 1, zero, zero, True)[0]
        y = np.concatenate([fw, bw], -1)
        fw, bw = gru(y, second, 0, zero, True)[0], gru(y, second, 1, zero, True, True)[0]
        logits = np.concatenate([fw, bw], -1) @ w["head"] + w["shift"]
        p = jax.nn.softmax(logits, -1)
        return -np.mean(np.take_along_axis(np.log(p), target[..., None], -1)), {"p": p}

    both = dict(hidden_size=H, direction="bidirectional")
    nodes = [
        helper.make_node("LSTM", ["x", "W1", "R1", "B1"], ["y1"], **both),
        helper.make_node("Transpose", ["y1"], ["y1t"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["y1t", "shape"], ["y1r"]),
        helper.make_node("GRU", ["y1r", "W2", "R2", "B2"], ["y2"], linear_before_reset=1, **both),
        helper.make_node("Transpose", ["y2"], ["y2t"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["y2t", "shape"], ["y2r"]),
        helper.make_node("MatMul", ["y2r", "head"], ["product"]),
        helper.make_node("Add", ["product", "shift"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["p"], axis=2),
    ]
    fixed = {"shape": numpy.array([0, 0, -1])}
    infos, outputs = [info("x", ["t", "b", K])], [info("p", ["t", "b", O])]
    put(found, "stacked", nodes, infos, outputs, w, fixed, inputs, ("y", target), loss)


if __name__ == "__main__":
    random, found = numpy.random.default_rng(3), {}
    peepholes(found, random)
    reset(found, random, False)
    reset(found, random, True)
    stacked(found, random)
    numpy.savez_compressed(os.path.join(HERE, "gradients.npz"), **found)
    print([n for n in found if n.endswith("/model")])
