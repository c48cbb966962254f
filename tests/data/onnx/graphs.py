"""Graphs around recurrent nodes, Scan and Loop, for models.py. Every function returns a model, its inputs, and the axes of
inputs and outputs in the model: T, B, 1, or another letter for entries."""

import numpy as np
from onnx import TensorProto, helper

T, B, K, H, O, C = 5, 3, 2, 4, 3, 6


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, name=op.lower() + "_of_" + outputs[0], **attributes)


def weights(random, gates, directions, inputs, hidden=H, end=""):
    array = lambda *shape: random.uniform(-0.8, 0.8, shape).astype(np.float32)
    return {
        "W" + end: array(directions, gates * hidden, inputs),
        "R" + end: array(directions, gates * hidden, hidden),
        "B" + end: array(directions, 2 * gates * hidden),
    }


def array(random, *shape):
    return random.uniform(-1, 1, shape).astype(np.float32)


def ints(*numbers):
    return np.array(numbers, np.int64)


def tagger(info, model_of, random):
    """Embedding, two bidirectional LSTMs of samples first, a norm and a linear layer with softmax."""
    initial = {
        **weights(random, 4, 2, 3, end="1"),
        **weights(random, 4, 2, 2 * H, end="2"),
        "emb.weight": array(random, C, 3),
        "norm.weight": array(random, 2 * H),
        "norm.bias": array(random, 2 * H),
        "fc.weight": array(random, O, 2 * H),
        "fc.bias": array(random, O),
        "shape": ints(0, 0, -1),
    }
    nodes = [
        node("Gather", ["emb.weight", "tokens"], ["embedded"]),
        node("Transpose", ["embedded"], ["first"], perm=[1, 0, 2]),
        node("LSTM", ["first", "W1", "R1", "B1"], ["y1"], hidden_size=H, direction="bidirectional"),
        node("Transpose", ["y1"], ["y1t"], perm=[0, 2, 1, 3]),
        node("Reshape", ["y1t", "shape"], ["y1r"]),
        node("LSTM", ["y1r", "W2", "R2", "B2"], ["y2"], hidden_size=H, direction="bidirectional"),
        node("Transpose", ["y2"], ["y2t"], perm=[0, 2, 1, 3]),
        node("Reshape", ["y2t", "shape"], ["y2r"]),
        node("Transpose", ["y2r"], ["y2b"], perm=[1, 0, 2]),
        node("LayerNormalization", ["y2b", "norm.weight", "norm.bias"], ["normed"], epsilon=1e-4),
        node("Transpose", ["fc.weight"], ["fct"], perm=[1, 0]),
        node("MatMul", ["normed", "fct"], ["product"]),
        node("Add", ["fc.bias", "product"], ["logits"]),
        node("Softmax", ["logits"], ["p"], axis=-1),
    ]
    inputs = {"tokens": random.integers(0, C, (B, T))}
    model = model_of(nodes, [info("tokens", ["batch", "seq"], TensorProto.INT64)], [info("p", ["batch", "seq", O])], initial)
    return model, inputs, {"tokens": "BT", "p": "BTO"}


def classifier(info, model_of, random):
    """The last states of both directions, in a layer with Relu, and a product with an input per sample."""
    initial = {
        **weights(random, 3, 2, K),
        "A": array(random, 2 * H, 5), "a": array(random, 5),
        "Z": array(random, O, 7), "z": array(random, O),
        "axes": ints(0), "zero": ints(0), "one": ints(1),
    }
    nodes = [
        node("GRU", ["x", "W", "R", "B"], ["", "y_h"], hidden_size=H, direction="bidirectional", linear_before_reset=1),
        node("Gather", ["y_h", "zero"], ["fw1"], axis=0),
        node("Squeeze", ["fw1", "axes"], ["fw"]),
        node("Gather", ["y_h", "one"], ["bw1"], axis=0),
        node("Squeeze", ["bw1", "axes"], ["bw"]),
        node("Concat", ["fw", "bw"], ["both"], axis=-1),
        node("Gemm", ["both", "A", "a"], ["hidden"]),
        node("Relu", ["hidden"], ["active"]),
        node("Concat", ["active", "context"], ["all"], axis=1),
        node("Gemm", ["all", "Z", "z"], ["scores"], transB=1, alpha=0.5),
        node("LogSoftmax", ["scores"], ["log_p"], axis=-1),
    ]
    inputs = {"x": array(random, T, B, K), "context": array(random, B, 2)}
    model = model_of(
        nodes, [info("x", ["t", "b", K]), info("context", ["b", 2])], [info("log_p", ["b", O])], initial
    )
    return model, inputs, {"x": "TBK", "context": "BK", "log_p": "BO"}


def last_step(info, model_of, random):
    """The last step of an RNN, an Elu network, a residual connection and elementary functions."""
    initial = {
        **weights(random, 1, 1, H), "V": array(random, H, H), "last": np.array(-1, np.int64), "axes": ints(1),
        "two": np.array(2.0, np.float32), "gain": array(random, H), "half": np.array([0.5], np.float32),
    }
    nodes = [
        node("RNN", ["x", "W", "R", "B"], ["y", "y_h"], hidden_size=H),
        node("Squeeze", ["y", "axes"], ["h"]),
        node("Sub", ["h", "x"], ["residual"]),
        node("Gather", ["residual", "last"], ["end"], axis=0),
        node("MatMul", ["end", "V"], ["mixed"]),
        node("Elu", ["mixed"], ["elu"], alpha=0.7),
        node("Mul", ["elu", "gain"], ["scaled"]),
        node("Div", ["scaled", "two"], ["halved"]),
        node("Pow", ["halved", "two"], ["squared"]),
        node("ReduceMean", ["squared"], ["mean"], axes=[-1], keepdims=1),
        node("Add", ["mean", "half"], ["shifted"]),
        node("Sqrt", ["shifted"], ["root"]),
        node("Div", ["halved", "root"], ["out"]),
    ]
    inputs = {"x": array(random, T, B, H)}
    model = model_of(nodes, [info("x", ["seq", "batch", H])], [info("out", ["batch", H])], initial)
    return model, inputs, {"x": "TBK", "out": "BH"}


def parts(info, model_of, random):
    """Slices, splits, a flattened product, sums of both directions, and states from an input of all layers."""
    initial = {
        **weights(random, 4, 2, K, end="1"), **weights(random, 4, 1, 2, end="2"),
        "s0": ints(0), "s2": ints(2), "s3": ints(3), "a0": ints(0), "a1": ints(1), "a2": ints(2), "halves": ints(2, 2),
        "F": array(random, 2, O), "f": array(random, O), "flat": ints(-1, 2),
    }
    nodes = [
        node("Slice", ["h0", "s0", "s2", "a0"], ["h01"]),
        node("Slice", ["h0", "s2", "s3", "a0"], ["h02"]),
        node("LSTM", ["x", "W1", "R1", "B1", "", "h01"], ["y1"], hidden_size=H, direction="bidirectional"),
        node("ReduceSum", ["y1", "a1"], ["sum"], keepdims=0),
        node("Split", ["sum", "halves"], ["left", "right"], axis=-1),
        node("Mul", ["left", "right"], ["gated"]),
        node("LSTM", ["gated", "W2", "R2", "B2", "", "h02"], ["y2", "", "y2c"], hidden_size=H),
        node("Squeeze", ["y2", "a1"], ["h"]),
        node("Slice", ["h", "s2", "a2end", "a2"], ["tail"]),
        node("Reshape", ["tail", "flat"], ["rows"]),
        node("Gemm", ["rows", "F", "f"], ["scores"]),
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "s0"], ["steps"], axis=0),
        node("Gather", ["shape", "a1"], ["samples"], axis=0),
        node("Concat", ["steps", "samples", "minus"], ["back"], axis=0),
        node("Reshape", ["scores", "back"], ["out"]),
    ]
    initial["a2end"] = ints(2**63 - 1)
    initial["minus"] = ints(-1)
    inputs = {"x": array(random, T, B, K), "h0": array(random, 3, B, H)}
    model = model_of(
        nodes,
        [info("x", ["seq", "batch", K]), info("h0", [3, "batch", H])],
        [info("out", ["seq", "batch", O]), info("y2c", [1, "batch", H])],
        initial,
    )
    return model, inputs, {"x": "TBK", "h0": "LBH", "out": "TBO", "y2c": "1BH"}


def scan(info, model_of, random, is_backward=False):
    """A gated average as the body of a Scan, with a product of what comes from outside."""
    body = helper.make_graph(
        [
            node("MatMul", ["x_t", "U"], ["u"]),
            node("MatMul", ["h", "V"], ["v"]),
            node("Add", ["u", "v"], ["uv"]),
            node("Add", ["uv", "b"], ["sum"]),
            node("Sigmoid", ["sum"], ["gate"]),
            node("Sub", ["one", "gate"], ["rest"]),
            node("Mul", ["gate", "h"], ["kept"]),
            node("Mul", ["rest", "uv"], ["new"]),
            node("Add", ["kept", "new"], ["h_next"]),
            node("Identity", ["h_next"], ["seen"]),
            node("Add", ["count", "one"], ["count_next"]),
        ],
        "step",
        [info("h", ["batch", H]), info("count", ["batch", 1]), info("x_t", ["batch", K])],
        [info("h_next", ["batch", H]), info("count_next", ["batch", 1]), info("seen", ["batch", H])],
    )
    initial = {
        "U": array(random, K, H), "V": array(random, H, H), "b": array(random, H), "one": np.array(1.0, np.float32),
        "zero": np.zeros((B, 1), np.float32),
    }
    way = [int(is_backward)]
    nodes = [
        node(
            "Scan", ["h0", "zero", "x"], ["h_last", "count_last", "y"], body=body, num_scan_inputs=1,
            scan_input_axes=[1], scan_output_axes=[1], scan_input_directions=way, scan_output_directions=way,
        ),
        node("Div", ["h_last", "count_last"], ["average"]),
    ]
    inputs = {"h0": array(random, B, H), "x": array(random, B, T, K)}
    model = model_of(
        nodes,
        [info("h0", ["batch", H]), info("x", ["batch", "seq", K])],
        [info("average", ["batch", H]), info("y", ["batch", "seq", H])],
        initial,
    )
    return model, inputs, {"h0": "BH", "x": "BTK", "average": "BH", "y": "BTH"}


def scan_back(info, model_of, random):
    return scan(info, model_of, random, True)


def loop(info, model_of, random):
    """A Loop over the steps, which gathers the input of the step."""
    body = helper.make_graph(
        [
            node("Identity", ["cond"], ["cond_next"]),
            node("Gather", ["x", "i"], ["x_t"], axis=0),
            node("MatMul", ["h", "V"], ["v"]),
            node("Add", ["x_t", "v"], ["sum"]),
            node("Tanh", ["sum"], ["h_next"]),
            node("Mul", ["h_next", "x_t"], ["seen"]),
        ],
        "step",
        [info("i", [], TensorProto.INT64), info("cond", [], TensorProto.BOOL), info("h", ["batch", H])],
        [info("cond_next", [], TensorProto.BOOL), info("h_next", ["batch", H]), info("seen", ["batch", H])],
    )
    initial = {
        "V": array(random, H, H), "go": np.array(True), "zero": ints(0), "scalar": np.array(0, np.int64),
        "samples": ints(1), "width": ints(H),
    }
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "scalar"], ["turns"], axis=0),
        node("Gather", ["shape", "samples"], ["batch"], axis=0),
        node("Concat", ["batch", "width"], ["size"], axis=0),
        node("ConstantOfShape", ["size"], ["h0"]),
        node("Loop", ["turns", "go", "h0"], ["h_last", "y"], body=body),
    ]
    inputs = {"x": array(random, T, B, H)}
    model = model_of(
        nodes, [info("x", ["seq", "batch", H])],
        [info("h_last", ["batch", H]), info("y", ["seq", "batch", H])], initial,
    )
    return model, inputs, {"x": "TBH", "h_last": "BH", "y": "TBH"}


def pooled(info, model_of, random):
    """Means over the steps, of steps that are a product with a mask, a maximum and comparisons."""
    initial = {
        **weights(random, 1, 1, 1), "axes": ints(1), "minus": ints(-1), "low": np.array(-0.3, np.float32),
        "high": np.array(0.4, np.float32), "slope": array(random, H), "zero": np.array(0.0, np.float32),
    }
    nodes = [
        node("Unsqueeze", ["s", "minus"], ["x"]),
        node("RNN", ["x", "W", "R", "B"], ["y"], hidden_size=H, activations=["Softsign"]),
        node("Squeeze", ["y", "axes"], ["h"]),
        node("Clip", ["h", "low", "high"], ["clipped"]),
        node("PRelu", ["clipped", "slope"], ["bent"]),
        node("Less", ["bent", "zero"], ["negative"]),
        node("Where", ["negative", "bent", "h"], ["chosen"]),
        node("ReduceMean", ["chosen"], ["pooled"], axes=[0], keepdims=0),
        node("ReduceMax", ["pooled"], ["most"], axes=[1], keepdims=1),
        node("Sub", ["pooled", "most"], ["out"]),
    ]
    inputs = {"s": array(random, T, B)}
    model = model_of(nodes, [info("s", ["seq", "batch"])], [info("out", ["batch", H])], initial)
    return model, inputs, {"s": "TB", "out": "BH"}


def shared(info, model_of, random):
    """Two nodes with the same weights."""
    initial = {**weights(random, 1, 1, H), "axes": ints(1)}
    nodes = [
        node("RNN", ["x", "W", "R", "B"], ["y1"], hidden_size=H),
        node("Squeeze", ["y1", "axes"], ["h1"]),
        node("RNN", ["h1", "W", "R", "B"], ["", "end"], hidden_size=H, direction="reverse"),
    ]
    inputs = {"x": array(random, T, B, H)}
    model = model_of(nodes, [info("x", ["seq", "batch", H])], [info("end", [1, "batch", H])], initial)
    return model, inputs, {"x": "TBH", "end": "1BH"}


GRAPHS = [tagger, classifier, last_step, parts, scan, scan_back, loop, pooled, shared]


def write(put, here, computed, model_of, info, random):
    for name, model in refused(info, model_of, np.random.default_rng(7)).items():
        put("refused_" + name, model, {}, {})
    for graph in GRAPHS:
        model, inputs, axes = graph(info, model_of, random)
        outputs = computed(model, inputs)
        put(
            "graph_" + graph.__name__,
            model,
            {n: here(a, axes[n]) for n, a in inputs.items()},
            {n: here(a, axes[n]) for n, a in outputs.items()},
        )


def refused(info, model_of, random):
    """Models without a recurrence, by the reason. They have no outputs of another program."""
    last = np.array(-1, np.int64)
    lens = info("lens", ["batch"], TensorProto.INT32)
    x, y = info("x", ["seq", "batch", K]), info("y", None)
    rnn = weights(random, 1, 1, K)
    two = {**rnn, **{n + "2": a for n, a in weights(random, 1, 1, H).items()}, "axes": ints(1)}
    first = node("RNN", ["x", "W", "R", "B", "lens"], ["y1"], hidden_size=H)
    squeezed = node("Squeeze", ["y1", "axes"], ["h"])
    plain = node("RNN", ["x", "W", "R", "B"], ["y1"], hidden_size=H)
    cases = {
        "lengths": ([first, squeezed, node("RNN", ["h", "W2", "R2", "B2"], ["y"], hidden_size=H)], [x, lens], two),
        "last": ([first, node("Gather", ["y1", "last"], ["y"])], [x, lens], {**rnn, "last": last}),
        "middle": (
            [plain, node("Slice", ["y1", "one", "three", "zero"], ["y"])],
            [x],
            {**rnn, "one": ints(1), "three": ints(3), "zero": ints(0)},
        ),
        "attention": (
            [
                plain, squeezed, node("Transpose", ["h"], ["a"], perm=[1, 0, 2]),
                node("Transpose", ["h"], ["b"], perm=[1, 2, 0]), node("MatMul", ["a", "b"], ["s"]),
                node("Softmax", ["s"], ["y"]),
            ],
            [x],
            {**rnn, "axes": ints(1)},
        ),
        "weights": (
            [node("RNN", ["x", "W", "R"], ["y"], hidden_size=H)], [x, info("W", [1, H, K])], {"R": rnn["R"]}
        ),
        "start": (
            [node("RNN", ["x", "W", "R", "B", "", "h0"], ["y"], hidden_size=H)], [x], {**rnn, "h0": array(random, 1, B, H)}
        ),
        "alphas": (
            [node("RNN", ["x", "W", "R"], ["y"], hidden_size=H, activations=["Tanh"], activation_alpha=[0.5])], [x], rnn
        ),
        "function": ([node("RNN", ["x", "W", "R"], ["y"], hidden_size=H, activations=["Sine"])], [x], rnn),
        "integers": (
            [node("Add", ["t", "t"], ["sum"]), node("Gather", ["E", "sum"], ["y"])],
            [info("t", ["seq", "batch"], TensorProto.INT64)],
            {"E": array(random, C, 2)},
        ),
        "size": ([node("RNN", ["x", "W", "R"], ["y"], hidden_size=H)], [info("x", ["seq", "batch", 5])], rnn),
        "growth": (
            [node("Concat", [f"W{n}"] * 2, [f"W{n + 1}"], axis=0) for n in range(40)] + [node("Add", ["x", "W40"], ["y"])],
            [x],
            {"W0": array(random, 100, K)},
        ),
        "step": (
            [plain, node("Slice", ["y1", "zero", "end", "zero", "step"], ["y"])],
            [x],
            {**rnn, "zero": ints(0), "end": ints(3), "step": ints(2)},
        ),
    }
    return {name: model_of(nodes, inputs, [y], initial) for name, (nodes, inputs, initial) in cases.items()}
