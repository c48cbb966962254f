"""The protocol of `bptt certify` for the Python adapters: a question a line, an answer a line."""
import json
import re
import sys

import numpy as np

# The gates of each recurrence, in the order in which libraries stack them, as (input, state, bias).
GATES = {
    "rnn": [("W_X", "W_H", "b_h")],
    "lstm": [(f"W_{g}", f"U_{g}", f"b_{g}") for g in "ifgo"],
    "lstm_bidirectional": [(f"W_{g}", f"U_{g}", f"b_{g}") for g in "ifgo"],
    "gru_reset_after": [(f"W_{g}", f"U_{g}", f"b_{g}") for g in "rzn"],
    "gru_reset_before": [(f"W_{g}", f"U_{g}", f"b_{g}") for g in "rzn"],
}


class Unsupported(Exception):
    """The library offers no such computation; the text says which."""


class Question:
    """A case: arrays by name, in the number type of the case; classes are whole numbers."""

    def __init__(self, message):
        # A recurrence of this name has its loss at the last step of each sample alone.
        self.cell, self.at_end = re.subn("_last$", "", message["recurrence"])
        if self.cell not in GATES:
            raise Unsupported(f"no cell `{self.cell}`")
        self.dtype = {"f32": np.float32, "f64": np.float64}[message["dtype"]]
        self.second_order = message["second_order"]
        self.steps, self.samples = message["steps"], message["samples"]
        self.lengths = np.array(message["lengths"])
        self.params = self._arrays(message["params"])
        self.inputs = self._arrays(message["inputs"])
        self.direction = self._arrays(message.get("direction", {}))
        # The ends of the names of parameters, one for each direction of time.
        self.directions = ("_fw", "_bw") if self.cell == "lstm_bidirectional" else ("",)
        self.hidden = self.params["W_O"].shape[1] // len(self.directions)
        self.has_cell_state = self.cell.startswith("lstm")

    def _arrays(self, group):
        arrays = {}
        for name, value in group.items():
            array = np.array(value)
            arrays[name] = array if array.dtype.kind == "i" else array.astype(self.dtype)
        return arrays

    @property
    def is_classification(self):
        return self.cell != "rnn"

    @property
    def equal_lengths(self):
        return bool((self.lengths == self.steps).all())

    def starts(self, state, like):
        """The given starts of a state, `h` or `c`, one for each direction; None if there are none."""
        names = [f"{state}0{direction}" for direction in self.directions]
        return [like[name] for name in names] if names[0] in like else None

    def within(self):
        """`[T, B]`: 1 within the length of a sample, 0 beyond."""
        return (np.arange(self.steps)[:, None] < self.lengths).astype(self.dtype)

    def stacked(self, arrays, direction=""):
        """Input weights, state weights, biases and second biases of all gates, one gate after the other."""
        names = list(zip(*GATES[self.cell]))
        w_x, w_h, b = (np.concatenate([arrays[name + direction] for name in part]) for part in names)
        second = np.zeros_like(b)
        if self.cell == "gru_reset_after":
            second[-self.hidden:] = arrays["b_u"]
        return w_x, w_h, b, second

    def parted(self, w_x, w_h, b, second, direction=""):
        """The inverse of `stacked`."""
        found = {}
        for i, names in enumerate(GATES[self.cell]):
            rows = slice(i * self.hidden, (i + 1) * self.hidden)
            found |= {name + direction: np.asarray(a)[rows] for name, a in zip(names, (w_x, w_h, b))}
        if self.cell == "gru_reset_after":
            found["b_u"] = np.asarray(second)[-self.hidden:]
        return found


def plain(value):
    """An answer as JSON has it: lists of numbers that round-trip."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    # A float32 as a float64 is the same number.
    return np.asarray(value).astype(np.float64).tolist()


def serve(answer):
    """Answers every line of the standard input; `answer` takes a question and gives a dictionary."""
    for line in sys.stdin:
        message = json.loads(line)
        try:
            found = plain(answer(Question(message)))
        except Unsupported as reason:
            found = {"unsupported": str(reason)}
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}".strip().split("\n")[0]}
        print(json.dumps({"id": message["id"]} | found), flush=True)
