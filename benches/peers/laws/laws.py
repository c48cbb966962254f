"""The laws: what each says, and how a library is held to it."""
import json
import subprocess
from dataclasses import dataclass

import direct
from libraries import BOTH_WAYS, HERE, starts

TRIALS = 10


@dataclass
class Law:
    """A column of the page."""
    key: str
    title: str
    meaning: str
    # For laws by `bptt certify`: the options and the numbers that count; with the loss at the last step, or of the starts
    # alone.
    options: tuple = ()
    quantities: tuple = ()
    last: bool = False
    only_starts: bool = False
    # For the others, the function.
    function: object = None
    # The library's own lengths are used, if it has some; the law is about them.
    lengths: bool = False
    own_lengths: bool = False
    forward: bool = False


EQUAL, RAGGED, SECOND = ("--equal-lengths",), ("--start-inputs",), "--second-order"
LAWS = (
    Law("forward", "forward", "loss and outputs, samples of equal length", options=EQUAL,
        quantities=("loss", "outputs"), forward=True),
    Law("gradient", "gradient", "gradients of parameters and inputs, samples of equal length", options=EQUAL,
        quantities=("gradient",)),
    Law("masked", "masked lengths",
        "samples differ in length; the loss leaves out the steps beyond the end, whose inputs are not zero",
        options=RAGGED, quantities=("loss", "outputs", "gradient"), forward=True),
    Law("lengths", "own lengths",
        "samples differ in length, which the library is told; the loss is at the last step of each sample and reads the last "
        "state that the library returns", last=True, options=RAGGED,
        quantities=("loss", "gradient"), own_lengths=True, forward=True),
    Law("packed", "packed outputs",
        "the same with a loss at every step, on the outputs that the library returns", options=RAGGED,
        quantities=("loss", "outputs", "gradient"), own_lengths=True, forward=True),
    Law("start", "∂ start", "gradients of h₀ and c₀, which are given for each sample", options=RAGGED,
        quantities=("gradient",), only_starts=True, lengths=True),
    Law("second", "second order", "the Hessian of the loss times a direction in parameters, inputs and starts",
        options=(*RAGGED, SECOND), quantities=("tangent", "hessian_vector"), lengths=True),
    Law("batch", "batch",
        "outputs, ∂x and ∂start of a sample have the same bits when the other samples of the batch change, and are the same up to "
        "rounding (1e-5 in f32, 1e-13 in f64) when it is alone", function=direct.batch, forward=True),
    Law("repeated", "repeated", "the same bits when asked again, in the same process and in another one, on two threads",
        function=direct.repeated, forward=True),
    Law("threads", "threads", "the same bits on one thread and on two", function=direct.threads,
        forward=True),
)


def arguments(law, library, cell, dtype, peers):
    """The arguments of `bptt` for a law, as it is run in the folder of this file."""
    recurrence = f"recurrences/{cell}_last.rec" if law.last else cell
    more = library.lengths if law.lengths or law.own_lengths else None
    run = library.line(peers, more or "")
    options = list(library.options + law.options)
    # One run serves several laws.
    own = law.lengths or law.own_lengths or not library.lengths
    if library.second_order and law.options == RAGGED and own and not law.last:
        options.append(SECOND)
    return ["certify", recurrence, "--run", run, "--dtype", dtype, "--trials", str(TRIALS),
            *options]


class Laws:
    """Runs the laws; a run of `bptt certify` serves all laws that ask for it."""

    def __init__(self, bptt, peers):
        self.bptt, self.peers, self.runs = bptt, peers, {}

    def certify(self, words):
        key = tuple(words)
        if key not in self.runs:
            done = subprocess.run([self.bptt, "--json", *words], cwd=HERE, capture_output=True, text=True)
            try:
                self.runs[key] = json.loads(done.stdout)
            except json.JSONDecodeError:
                self.runs[key] = {"failure": {"kind": "bptt", "message": done.stderr.strip()}}
        return self.runs[key]

    def outcome(self, law, library, cell, dtype):
        """`{"held", "error", …}`, or `{"reason"}` where the law does not apply."""
        if library.forward_only and not law.forward:
            return {"reason": "it runs models and has no gradients"}
        if law.own_lengths and library.lengths is None:
            return {"reason": "it offers no lengths"}
        if law.last and cell == BOTH_WAYS:
            return {"reason": "the two directions have different last steps"}
        if law.function:
            try:
                return law.function(library, cell, dtype, self.peers)
            except direct.Unanswered as reason:
                return {"reason": str(reason)}
        words = arguments(law, library, cell, dtype, self.peers)
        found = self.certify(words)
        if failure := found.get("failure"):
            if failure["kind"] == "unsupported":
                return {"reason": failure["message"]}
            return {"held": False, "message": failure["message"], "words": words}
        counted = [f for f in found["findings"] if f["quantity"] in law.quantities
                   and (not law.only_starts or f["name"] in starts(cell))]
        if not counted:
            return {"reason": "it gives no such numbers"}
        if law.only_starts and {f["name"] for f in counted} != set(starts(cell)):
            return {"reason": "it gives no such numbers"}
        outcome = {"held": all(f["agrees"] for f in counted),
                   "error": max(f["error"] for f in counted),
                   "share": max(f["error"] / f["tolerance"] for f in counted),
                   "compared": sum(f["compared"] for f in counted)}
        if not outcome["held"]:
            outcome["words"] = words
            outcome["text"] = subprocess.run(
                [self.bptt, *words], cwd=HERE, capture_output=True, text=True).stdout
        return outcome
