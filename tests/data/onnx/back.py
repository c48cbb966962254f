"""Writes back.csv: outputs of onnxruntime for models that `bptt export` wrote from cells of the library.

    cargo build --release
    pip install onnx==1.22.0 onnxruntime==1.32.0 numpy
    PATH=$PWD/target/release:$PATH python3 tests/data/onnx/back.py

Entry `i` of the parameter at place `j` of the sorted names is `0.8 sin(1.3 i + 0.7 j + 0.2)`, that of the input `x`
`cos(0.9 i + 0.1)`; T = 5, B = 3, H = 3, G = 2, K = 2, O = 4.
"""

import os
import subprocess
import tempfile

import numpy as np
import onnx
import onnxruntime

HERE = os.path.dirname(os.path.abspath(__file__))
H, G, K, O = 3, 2, 2, 4
onnxruntime.set_default_logger_severity(3)


def gates(names, end="", h=H, k=K, peepholes=False, second=False):
    shapes = {}
    for q in names:
        shapes |= {f"W_{q}{end}": (h, k), f"U_{q}{end}": (h, h), f"b_{q}{end}": (h,)}
        if peepholes and q != "g":
            shapes[f"p_{q}{end}"] = (h,)
    return shapes | ({f"b_u{end}": (h,)} if second else {})


def head(h=H):
    return {"W_O": (O, h), "b_q": (O,)}


RNN = {"W_X": (H, K), "W_H": (H, H), "b_h": (H,), **head()}
CELLS = {
    "rnn": RNN,
    "rnn_relu": RNN,
    "lstm": gates("ifgo") | head(),
    "lstm_peephole": gates("ifgo", peepholes=True) | head(),
    "gru_reset_before": gates("rzn") | head(),
    "gru_reset_after": gates("rzn", second=True) | head(),
    "lstm_bidirectional": gates("ifgo", "_fw") | gates("ifgo", "_bw") | head(2 * H),
    "lstm_stacked": gates("ifgo", "_1") | gates("ifgo", "_2", G, H) | head(G),
}


def wave(shape, of):
    return of(np.arange(np.prod(shape, dtype=int))).reshape(shape)


if __name__ == "__main__":
    x = wave((5, 3, K), lambda i: np.cos(0.9 * i + 0.1)).astype(np.float32)
    lines = ["cell,index,value"]
    for cell, shapes in CELLS.items():
        params = {
            name: wave(shapes[name], lambda i: 0.8 * np.sin(1.3 * i + 0.7 * j + 0.2))
            for j, name in enumerate(sorted(shapes))
        }
        with tempfile.TemporaryDirectory() as folder:
            model, file = os.path.join(folder, "model.onnx"), os.path.join(folder, "params.npz")
            np.savez(file, **params)
            subprocess.run(["bptt", "export", cell, "--params", file, "--out", model], check=True)
            onnx.checker.check_model(model, full_check=True)
            output = onnxruntime.InferenceSession(model).run(None, {"x": x})[0]
        lines += [f"{cell},{i},{value}" for i, value in enumerate(output.flatten())]
    with open(os.path.join(HERE, "back.csv"), "w") as file:
        file.write("\n".join(lines) + "\n")
