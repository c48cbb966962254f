"""Writes exported.npz: small PyTorch models, exported with both exporters, and their outputs.

    pip install torch==2.15.0 onnx==1.22.0 onnxscript numpy
    python3 tests/data/onnx/exported.py

The names are those of models.npz: `CASE/model`, `CASE/in/NAME`, `CASE/out/NAME`, in the layout of a recurrence. Outputs are
those of the modules, in single precision.
"""

import os
import tempfile
import warnings

import numpy as np
import onnx
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
B, T = 3, 5
warnings.filterwarnings("ignore")


class Stacked(torch.nn.Module):
    """Samples first."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(2, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.fc = torch.nn.Linear(6, 2)

    def forward(self, x):
        return self.fc(self.lstm(x)[0])


class Tokens(torch.nn.Module):
    """With states from outside, and the states after the last step."""

    def __init__(self):
        super().__init__()
        self.emb = torch.nn.Embedding(7, 4)
        self.gru = torch.nn.GRU(4, 3, num_layers=2)
        self.norm = torch.nn.LayerNorm(3)
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, x, h0):
        y, h = self.gru(self.emb(x), h0)
        y = torch.nn.functional.gelu(y)
        return torch.log_softmax(self.fc(self.norm(y)), -1), h


class Ends(torch.nn.Module):
    """The last states of both directions."""

    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.RNN(2, 3, nonlinearity="relu", batch_first=True, bidirectional=True)
        self.a = torch.nn.Linear(6, 4)
        self.b = torch.nn.Linear(4, 2)

    def forward(self, x):
        _, h = self.rnn(x)
        return self.b(torch.relu(self.a(torch.cat([h[0], h[1]], -1))))


class Rows(torch.nn.Module):
    """Steps and samples in one axis for a while, and the last step."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(2, 3, batch_first=True)
        self.fc = torch.nn.Linear(3, 4)

    def forward(self, x):
        y, _ = self.lstm(x)
        z = self.fc(y.contiguous().view(-1, 3)).view(x.shape[0], -1, 4)
        return z, self.fc(y[:, -1])


def here(array, axes):
    array = array.detach().numpy()
    order = sorted(range(len(axes)), key=lambda a: ("TB".find(axes[a]) + 1 or 9))
    return np.transpose(array, order)


def write(found, name, model, inputs, dynamic, axes, exporters):
    model.eval()
    outputs = model(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for exporter in exporters:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            if exporter == "dynamo":
                shapes = tuple({a: torch.export.Dim.DYNAMIC for a in d} for d in dynamic)
                torch.onnx.export(
                    model, inputs, path, dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False
                )
            else:
                names = ["x", "h0"][: len(inputs)]
                torch.onnx.export(
                    model, inputs, path, dynamo=False, input_names=names, dynamic_axes=dict(zip(names, dynamic))
                )
            proto = onnx.load(path)
        del proto.graph.value_info[:]
        del proto.metadata_props[:]
        for node in proto.graph.node:
            del node.metadata_props[:]
        case = f"{name}_{exporter}"
        found[case + "/model"] = np.frombuffer(proto.SerializeToString(), np.uint8)
        for info, array, a in zip(["x", "h0"], inputs, axes[0]):
            found[f"{case}/in/{info}"] = here(array, a)
        for n, (array, a) in enumerate(zip(outputs, axes[1])):
            found[f"{case}/out/{n}"] = here(array, a)


if __name__ == "__main__":
    torch.manual_seed(1)
    found = {}
    x = torch.randn(B, T, 2)
    both = ["script", "dynamo"]
    xs, hs = {0: "batch", 1: "seq"}, {0: "seq", 1: "batch"}
    write(found, "stacked", Stacked(), (x,), [xs], (["BTK"], ["BTO"]), both)
    tokens = (torch.randint(0, 7, (T, B)), torch.randn(2, B, 3))
    write(found, "tokens", Tokens(), tokens, [hs, {1: "batch"}], (["TB", "LBH"], ["TBO", "LBH"]), both)
    write(found, "ends", Ends(), (x,), [xs], (["BTK"], ["BO"]), ["script"])
    write(found, "rows", Rows(), (x,), [xs], (["BTK"], ["BTO", "BO"]), both)
    np.savez_compressed(os.path.join(HERE, "exported.npz"), **found)
    print([n for n in found if n.endswith("/model")])
