"""onnxruntime for `bptt certify`: the operators RNN, LSTM and GRU of ONNX, forward only.

    bptt certify lstm --dtype f32 --run 'python3 onnxruntime_laws.py'
"""
import argparse
import re

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from protocol import GATES, Unsupported, serve

# The order of the gates in ONNX, as places in the order of the recurrence.
OPERATORS = {"rnn": ("RNN", [0]), "lstm": ("LSTM", [0, 3, 1, 2]),
             "lstm_bidirectional": ("LSTM", [0, 3, 1, 2]),
             "gru_reset_after": ("GRU", [1, 0, 2]), "gru_reset_before": ("GRU", [1, 0, 2])}


def model(question):
    """One operator and the product of the readout."""
    operator, order = OPERATORS[question.cell]
    hidden, real = question.hidden, helper.np_dtype_to_tensor_dtype(np.dtype(question.dtype))
    starts = {"initial_h": question.starts("h", question.inputs)}
    if question.has_cell_state:
        starts["initial_c"] = question.starts("c", question.inputs)
    starts = {name: np.stack(start) for name, start in starts.items() if start}

    def in_order(a):
        blocks = np.split(a, len(GATES[question.cell]))
        return np.concatenate([blocks[i] for i in order])

    layers = [list(map(in_order, question.stacked(question.params, direction)))
              for direction in question.directions]
    w_x, w_h, b, second = map(np.stack, zip(*layers))
    weights = {"W": w_x, "R": w_h, "B": np.concatenate([b, second], 1),
               "W_O": question.params["W_O"].T, "b_q": question.params["b_q"]}
    names = ["x", "W", "R", "B", "lengths", *starts]
    settings = {"hidden_size": hidden}
    if operator == "GRU":
        settings["linear_before_reset"] = int(question.cell == "gru_reset_after")
    if len(layers) == 2:
        settings["direction"] = "bidirectional"
    # From [T, directions, B, H] or [directions, B, H] to an axis for the states of all directions.
    result, order = (["", "Y_h"], [1, 0, 2]) if question.at_end else (["Y"], [0, 2, 1, 3])
    shape = [0, -1] if question.at_end else [0, 0, -1]
    nodes = [helper.make_node(operator, names, result, **settings),
             helper.make_node("Transpose", [result[-1]], ["by_sample"], perm=order),
             helper.make_node("Reshape", ["by_sample", "shape"], ["h"]),
             helper.make_node("MatMul", ["h", "W_O"], ["product"]),
             helper.make_node("Add", ["product", "b_q"], ["o"])]
    inputs = [helper.make_tensor_value_info("x", real, [None, None, None]),
              helper.make_tensor_value_info("lengths", TensorProto.INT32, [None])]
    inputs += [helper.make_tensor_value_info(n, real, a.shape) for n, a in starts.items()]
    places = [None] * (2 if question.at_end else 3)
    outputs = [helper.make_tensor_value_info("o", real, places)]
    constants = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    constants.append(numpy_helper.from_array(np.array(shape), "shape"))
    graph = helper.make_graph(nodes, question.cell, inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feed = {"x": question.inputs["x"], "lengths": question.lengths.astype(np.int32)}
    return made, feed | starts


def of(question, threads):
    made, feed = model(question)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            made.SerializeToString(), options, providers=["CPUExecutionProvider"])
        outputs = session.run(["o"], feed)[0]
    except Exception as error:
        if question.dtype is np.float64 and re.search("NOT_IMPLEMENTED|not support double", str(error)):
            raise Unsupported("its operator has no f64") from error
        raise
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
