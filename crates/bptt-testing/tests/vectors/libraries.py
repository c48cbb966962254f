"""Holds PyTorch, onnxruntime and Keras to test vectors in their layouts, and writes what PyTorch computes.

    pip install torch==2.15.0 onnx==1.23.2 onnxruntime==1.32.0 keras==3.15.1 numpy==2.4.6
    for layout in pytorch onnx keras; do for cell in rnn lstm gru_reset_after; do
      bptt vectors $cell --layout $layout --start-inputs --trials 10 --out folder/$cell-$layout.npz; done; done
    for layout in onnx keras; do
      bptt vectors gru_reset_before --layout $layout --start-inputs --trials 10 --out folder/gru_reset_before-$layout.npz; done
    python3 crates/bptt-testing/tests/vectors/libraries.py folder

It prints a row for each file: the largest difference of each quantity as a fraction of the bound; above 1 it disagrees.
The answers of PyTorch to the first two vectors of each file are written to `folder/pytorch.npz`; a copy of it beside this
script is compared by the tests. onnxruntime computes forward and in single precision, and is held to `bound_f32`.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "torch"
import numpy as np
import torch

torch.set_default_dtype(torch.float64)


class File:
    def __init__(self, path):
        self.arrays = np.load(path)
        self.name = "".join(map(chr, self.arrays["recurrence"]))
        self.worst = {}

    def __iter__(self):
        return (Vector(self, n) for n in range(int(self.arrays["count"])))


class Vector:
    def __init__(self, file, number):
        self.file, self.number = file, number

    def __getitem__(self, path):
        return self.file.arrays[f"{self.number}/{path}"]

    def has(self, path):
        return f"{self.number}/{path}" in self.file.arrays

    def group(self, name):
        start = f"{self.number}/{name}/"
        return {n[len(start):]: self.file.arrays[n] for n in self.file.arrays.files if n.startswith(start)}

    def compare(self, path, found, bound="bound"):
        expected, found = self[path], np.asarray(found)
        assert expected.shape == found.shape, (path, expected.shape, found.shape)
        share = np.abs(found - expected) / self[f"{bound}/{path}"]
        share = np.max(np.where(np.isnan(expected), 0, share))
        quantity = path.split("/")[0]
        worst = self.file.worst
        worst[quantity] = max(worst.get(quantity, 0), float(share))


def row(library, file):
    shares = ", ".join(f"{quantity} {share:.2g}" for quantity, share in file.worst.items())
    print(f"| {library} | `{file.name}` | {shares} |")


def steps_of(lengths):
    return torch.arange(int(max(lengths)))[:, None] < torch.as_tensor(lengths)[None, :]


def loss_of(name, o, y, there):
    """The loss of the library recurrences: half the squared error, or softmax cross entropy with classes."""
    if name == "rnn":
        return 0.5 * (((o - y) ** 2).sum(-1) * there).sum()
    classes = torch.nn.functional.cross_entropy(o.movedim(-1, 1), y, reduction="none")
    return (classes * there).sum()


def pytorch(file, answers):
    """Loss, outputs, gradients and Hessian products; samples of different lengths are packed."""
    module = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM}.get(file.name, torch.nn.GRU)
    for v in file:
        params, inputs, direction = v.group("params"), v.group("inputs"), v.group("direction")
        hidden = params["weight_hh_l0"].shape[1]
        net = module(inputs["x"].shape[2], hidden)
        linear = torch.nn.Linear(hidden, params["weight"].shape[0])
        own = dict(net.named_parameters()) | dict(linear.named_parameters())
        assert own.keys() == params.keys(), (own.keys(), params.keys())
        names = [n for n in direction]
        leaves = {n: torch.tensor(params[n] if n in params else inputs[n], requires_grad=True) for n in names}
        y = leaves["y"] if "y" in leaves else torch.tensor(inputs["y"])
        lengths, there = torch.tensor(v["lengths"]), steps_of(v["lengths"])

        def run(*values):
            given = dict(zip(names, values))
            packed = torch.nn.utils.rnn.pack_padded_sequence(given["x"], lengths, enforce_sorted=False)
            start = (given["h_0"], given["c_0"]) if "c_0" in given else given["h_0"]
            h, _ = torch.func.functional_call(net, {n: given[n] for n in dict(net.named_parameters())}, (packed, start))
            h, _ = torch.nn.utils.rnn.pad_packed_sequence(h, total_length=inputs["x"].shape[0])
            o = h @ given["weight"].T + given["bias"]
            return loss_of(file.name, o, given.get("y", y), there), o

        values = [leaves[n] for n in names]
        loss, o = run(*values)
        gradient = torch.autograd.grad(loss, values, create_graph=True)
        along = sum((g * torch.tensor(direction[n])).sum() for n, g in zip(names, gradient))
        product = torch.autograd.grad(along, values, allow_unused=True)
        found = {"loss": loss, "outputs/o": o, "tangent/loss": along}
        found |= {f"gradient/{n}": g for n, g in zip(names, gradient)}
        found |= {f"hessian_vector/{n}": p for n, p in zip(names, product) if p is not None}
        for path, array in found.items():
            v.compare(path, array.detach().numpy())
            if v.number < 2 and not path.startswith("outputs"):
                answers[f"{file.name}/{v.number}/{path}"] = array.detach().numpy()
    row(f"PyTorch {torch.__version__.split('+')[0]}", file)


def onnx(file):
    """Outputs, in single precision."""
    import onnxruntime
    from onnx import TensorProto, helper

    operator = {"rnn": "RNN", "lstm": "LSTM"}.get(file.name, "GRU")
    for v in file:
        given = v.group("params") | v.group("inputs")
        given = {n: a.astype(np.int32 if n == "sequence_lens" else np.float32) for n, a in given.items() if n != "y"}
        names = ["X", "W", "R", "B", "sequence_lens", "initial_h"] + ["initial_c"] * (operator == "LSTM")
        more = {"linear_before_reset": int(file.name == "gru_reset_after")} if operator == "GRU" else {}
        node = helper.make_node(operator, names, ["Y"], hidden_size=given["R"].shape[2], **more)
        kind = lambda n: TensorProto.INT32 if n == "sequence_lens" else TensorProto.FLOAT
        infos = [helper.make_tensor_value_info(n, kind(n), given[n].shape) for n in names]
        out = helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)
        model = helper.make_model(helper.make_graph([node], "g", infos, [out]), opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (Y,) = session.run(None, {n: given[n] for n in names})
        v.compare("outputs/o", Y[:, 0] @ given["W_O"].T + given["b_q"], "bound_f32")
    row(f"onnxruntime {onnxruntime.__version__}, f32", file)


def keras(file):
    """Loss, outputs and gradients, with a mask in place of lengths. The back end torch multiplies matrices in single
    precision, also those of float64, so the bounds are those of f32."""
    import keras

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    layer = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM}.get(file.name, keras.layers.GRU)
    more = {"reset_after": file.name == "gru_reset_after"} if layer is keras.layers.GRU else {}
    for v in file:
        params, inputs = v.group("params"), v.group("inputs")
        hidden = next(a for n, a in params.items() if n.endswith("recurrent_kernel")).shape[0]
        # These names are those of a model whose layers are numbered from the first.
        keras.backend.clear_session()
        net = layer(hidden, return_sequences=True, **more)
        dense = keras.layers.Dense(params["dense/bias"].shape[0])
        x = torch.tensor(inputs["x"], requires_grad=True)
        mask = torch.tensor(inputs["mask"])
        starts = {n: torch.tensor(inputs[n], requires_grad=True) for n in ("h0", "c0") if n in inputs}
        state = list(starts.values())
        o = dense(net(x, mask=mask, initial_state=state))
        weights = {w.path: w for w in net.weights + dense.weights}
        assert weights.keys() == params.keys(), (weights.keys(), params.keys())
        for path, weight in weights.items():
            weight.assign(params[path])
        o = dense(net(x, mask=mask, initial_state=state))
        y = torch.tensor(inputs["y"], requires_grad=inputs["y"].dtype == np.float64)
        loss = loss_of(file.name, o.movedim(0, 1), y.movedim(0, 1), mask.T)
        leaves = {n: w.value for n, w in weights.items()} | {"x": x} | starts
        gradient = torch.autograd.grad(loss, list(leaves.values()))
        v.compare("loss", loss.detach().numpy(), "bound_f32")
        v.compare("outputs/o", o.detach().numpy(), "bound_f32")
        for name, g in zip(leaves, gradient):
            v.compare(f"gradient/{name}", g.detach().numpy(), "bound_f32")
    row(f"Keras {keras.__version__}, products in f32", file)


def main(folder):
    answers = {}
    cells = ["rnn", "lstm", "gru_reset_after", "gru_reset_before"]
    for layout, run in [("pytorch", lambda f: pytorch(f, answers)), ("onnx", onnx), ("keras", keras)]:
        for cell in cells:
            path = os.path.join(folder, f"{cell}-{layout}.npz")
            if os.path.exists(path):
                run(File(path))
    np.savez(os.path.join(folder, "pytorch.npz"), **answers)


main(sys.argv[1])
