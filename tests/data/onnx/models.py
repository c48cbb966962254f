"""Writes models.npz: small ONNX models, inputs, and the outputs that other programs compute.

    pip install onnx==1.22.0 onnxruntime==1.32.0 numpy
    python3 tests/data/onnx/models.py

An array `CASE/model` has the bytes of a model, `CASE/in/NAME` an input and `CASE/out/NAME` an output, in the layout of a
recurrence: steps first, then samples, without axes of size 1.

- `node_*` are the node tests of RNN, LSTM and GRU in onnx 1.22.0, whose weights are initializers here instead of inputs.
- `runtime_*` have random attributes, and outputs of onnxruntime 1.32.0 in single precision.
- `graph_*` are graphs around recurrent nodes, Scan and Loop; outputs of onnxruntime.
- `refused_*` are models without a recurrence.
"""

import os
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
NODE = os.path.join(os.path.dirname(onnx.__file__), "backend/test/data/node")
found = {}


def bare(model):
    """Without what the import does not read."""
    model.producer_name = ""
    del model.graph.value_info[:]
    return model


def put(case, model, inputs, outputs):
    found[case + "/model"] = np.frombuffer(bare(model).SerializeToString(), np.uint8)
    for name, array in inputs.items():
        found[f"{case}/in/{name}"] = array
    for name, array in outputs.items():
        found[f"{case}/out/{name}"] = array


def here(array, axes):
    """The array in the layout of a recurrence; `axes` has a letter for each axis: T, B, 1 or any other."""
    order = sorted(range(len(axes)), key=lambda a: ("TB".find(axes[a]) + 1 or 9))
    array = np.transpose(array, order)
    return array.reshape([n for n, a in zip(array.shape, [axes[i] for i in order]) if a != "1"])


def layouts(op, layout, directions):
    """The axes of the inputs and outputs of a recurrent node."""
    d = "1" if directions == 1 else "D"
    x, y, s = ("TBK", f"T{d}BH", f"{d}BH") if layout == 0 else ("BTK", f"BT{d}H", f"B{d}H")
    return {"X": x, "initial_h": s, "initial_c": s, "Y": y, "Y_h": s, "Y_c": s}


def node_tests():
    for op in ["rnn", "lstm", "gru"]:
        for name in sorted(os.listdir(NODE)):
            if not (name.startswith(f"test_{op}_") or name.startswith(f"test_simple_{op}_")):
                continue
            folder = os.path.join(NODE, name)
            model = onnx.load(os.path.join(folder, "model.onnx"))
            graph, data = model.graph, os.path.join(folder, "test_data_set_0")
            arrays = {}
            for i, info in enumerate(graph.input):
                with open(f"{data}/input_{i}.pb", "rb") as file:
                    tensor = TensorProto.FromString(file.read())
                arrays[info.name] = numpy_helper.to_array(tensor)
            weights = {n: a for n, a in arrays.items() if n in ["W", "R", "B", "P"]}
            kept = [i for i in graph.input if i.name not in weights]
            del graph.input[:]
            graph.input.extend(kept)
            graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
            attributes = {a.name: helper.get_attribute_value(a) for a in graph.node[0].attribute}
            axes = layouts(op, attributes.get("layout", 0), 1)
            outputs = {}
            for i, info in enumerate(graph.output):
                with open(f"{data}/output_{i}.pb", "rb") as file:
                    outputs[info.name] = numpy_helper.to_array(TensorProto.FromString(file.read()))
            inputs = {n: a for n, a in arrays.items() if n not in weights}
            ours = {n: here(a, axes[n]) for n, a in inputs.items() if n in axes}
            if "sequence_lens" in inputs:
                ours["lengths"] = inputs["sequence_lens"].astype(np.int64)
            put(
                "node_" + name.removeprefix("test_"),
                model,
                {n[0].lower() + n[1:] if n == "X" else n: a for n, a in ours.items()},
                {n: here(a, axes[n]) for n, a in outputs.items()},
            )


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes, inputs, outputs, initializers, opset=17):
    graph = helper.make_graph(
        nodes, "g", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in initializers.items()]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def computed(model, inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


ACTIVATIONS = {
    "Relu": (None, None), "Tanh": (None, None), "Sigmoid": (None, None), "Affine": (0.7, 0.2),
    "LeakyRelu": (0.15, None), "ThresholdedRelu": (0.3, None), "ScaledTanh": (0.8, 1.3),
    "HardSigmoid": (0.25, 0.45), "Elu": (1.2, None), "Softsign": (None, None), "Softplus": (None, None),
}
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
USUAL = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}


def random_case(random, op, n):
    T, B, K, H = 4, 3, 2, 3
    direction = ["forward", "reverse", "bidirectional"][n % 3]
    D = 2 if direction == "bidirectional" else 1
    attributes = {"hidden_size": H, "direction": direction}
    names = ["X", "W", "R", "", "", "", "", ""]
    array = lambda *shape: random.uniform(-1, 1, shape).astype(np.float32)
    weights = {"W": array(D, GATES[op] * H, K), "R": array(D, GATES[op] * H, H)}
    data = {"X": 2 * array(T, B, K)}
    if n % 4 != 1:
        weights["B"] = array(D, 2 * GATES[op] * H)
        names[3] = "B"
    if n % 2 == 1:
        data["sequence_lens"] = np.array([4, 2, 3], np.int32)
        names[4] = "sequence_lens"
    if n % 3 != 1:
        data["initial_h"] = array(D, B, H)
        names[5] = "initial_h"
    if op == "LSTM":
        if n % 5 != 1:
            data["initial_c"] = array(D, B, H)
            names[6] = "initial_c"
        if n % 2 == 0:
            weights["P"] = array(D, 3 * H)
            names[7] = "P"
        attributes["input_forget"] = int(n % 7 == 3)
    if op == "GRU":
        attributes["linear_before_reset"] = n % 2
    if n % 3 == 2 or n % 4 == 3:
        attributes["clip"] = 0.6
    if n >= 2:
        used = [list(ACTIVATIONS)[i] for i in random.integers(0, len(ACTIVATIONS), D * len(USUAL[op]))]
        attributes["activations"] = used
        for at, which in enumerate(["activation_alpha", "activation_beta"]):
            settings = [ACTIVATIONS[f][at] for f in used if ACTIVATIONS[f][at] is not None]
            if settings:
                attributes[which] = settings
    outputs = ["Y", "Y_h"] + (["Y_c"] if op == "LSTM" else [])
    while names[-1] == "":
        names.pop()
    node = helper.make_node(op, names, outputs, name=f"{op.lower()}_{n}", **attributes)
    kinds = {"sequence_lens": TensorProto.INT32}
    model = model_of(
        [node],
        [info(k, a.shape, kinds.get(k, TensorProto.FLOAT)) for k, a in data.items()],
        [info(o, None) for o in outputs],
        weights,
    )
    del model.graph.output[:]
    shapes = {"Y": [T, D, B, H], "Y_h": [D, B, H], "Y_c": [D, B, H]}
    model.graph.output.extend(info(o, shapes[o]) for o in outputs)
    result = computed(model, data)
    axes = layouts(op, 0, D)
    ours = {("x" if n == "X" else n): here(a, axes[n]) for n, a in data.items() if n in axes}
    if "sequence_lens" in data:
        ours["lengths"] = data["sequence_lens"].astype(np.int64)
    put(f"runtime_{op.lower()}_{n}", model, ours, {n: here(a, axes[n]) for n, a in result.items()})


if __name__ == "__main__":
    node_tests()
    random = np.random.default_rng(5)
    for op in GATES:
        for n in range(16):
            random_case(random, op, n)
    try:
        import graphs
        graphs.write(put, here, computed, model_of, info, np.random.default_rng(6))
    except ImportError:
        pass
    np.savez_compressed(os.path.join(HERE, "models.npz"), **found)
    print(len([n for n in found if n.endswith("/model")]), "models")
