"""onnxruntime for `bptt certify`: the operators RNN, LSTM and GRU of ONNX, forward only.

    bptt certify lstm --dtype f32 --run 'python3 onnxruntime_laws.py'
"""
import argparse

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from protocol import GATES, serve

# The order of the gates in ONNX, as places in the order of the recurrence.
OPERATORS = {"rnn": ("RNN", [0]), "lstm": ("LSTM", [0, 3, 1, 2]),
             "gru_reset_after": ("GRU", [1, 0, 2]), "gru_reset_before": ("GRU", [1, 0, 2])}


def model(question):
    """One operator and the product of the readout."""
    operator, order = OPERATORS[question.cell]
    hidden, real = question.hidden, helper.np_dtype_to_tensor_dtype(np.dtype(question.dtype))
    states = {"h0": "initial_h", "c0": "initial_c"}
    given = [name for name in states if name in question.inputs]

    def in_order(a):
        blocks = np.split(a, len(GATES[question.cell]))
        return np.concatenate([blocks[i] for i in order])

    w_x, w_h, b, second = map(in_order, question.stacked(question.params))
    weights = {"W": w_x[None], "R": w_h[None], "B": np.concatenate([b, second])[None],
               "W_O": question.params["W_O"].T, "b_q": question.params["b_q"]}
    names = ["x", "W", "R", "B", "lengths"] + [states[n] for n in given]
    settings = {"hidden_size": hidden}
    if operator == "GRU":
        settings["linear_before_reset"] = int(question.cell == "gru_reset_after")
    result = ["", "Y_h"] if question.at_end else ["Y"]
    # Without the axis of directions, [T, B, H] or [B, H].
    axis = 0 if question.at_end else 1
    nodes = [helper.make_node(operator, names, result, **settings),
             helper.make_node("Squeeze", [result[-1], "axis"], ["h"]),
             helper.make_node("MatMul", ["h", "W_O"], ["product"]),
             helper.make_node("Add", ["product", "b_q"], ["o"])]
    inputs = [helper.make_tensor_value_info("x", real, [None, None, None]),
              helper.make_tensor_value_info("lengths", TensorProto.INT32, [None])]
    inputs += [helper.make_tensor_value_info(states[n], real, [1, None, hidden]) for n in given]
    places = [None] * (2 if question.at_end else 3)
    outputs = [helper.make_tensor_value_info("o", real, places)]
    constants = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    constants.append(numpy_helper.from_array(np.array([axis]), "axis"))
    graph = helper.make_graph(nodes, question.cell, inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feed = {"x": question.inputs["x"], "lengths": question.lengths.astype(np.int32)}
    return made, feed | {states[n]: question.inputs[n][None] for n in given}


def of(question, threads):
    made, feed = model(question)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = session.run(["o"], feed)[0]
    if question.is_classification:
        largest = outputs.max(-1, keepdims=True)
        sums = np.log(np.exp(outputs - largest).sum(-1)) + largest[..., 0]
        each = sums - np.take_along_axis(outputs, question.inputs["y"][..., None], -1)[..., 0]
    else:
        each = ((outputs - question.inputs["y"]) ** 2).sum(-1) / 2
    if question.at_end:
        return {"loss": each.sum()}
    return {"loss": each[question.within() > 0].sum(), "outputs": {"o": outputs}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    serve(lambda question: of(question, options.threads))


if __name__ == "__main__":
    main()
