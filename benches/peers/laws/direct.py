"""Laws that need no recurrence: the same question twice, on more threads, and in another batch."""
import functools
import json
import random
import subprocess
import sys

from libraries import AFTER, BOTH_WAYS, HERE, PEEPHOLE, PEERS, RNN, environment, starts

sys.path.insert(0, str(PEERS))
from competitors import pin  # noqa: E402

# Sizes at which libraries use threads, and small ones for another batch.
LARGE = {"T": 3, "B": 96, "K": 64, "H": 384, "O": 8}
SMALL = {"T": 7, "B": 5, "K": 13, "H": 37, "O": 6}
# A sample alone has other sums than the sample in a batch, so it agrees up to this rounding error.
ROUNDING = {"f32": 1e-5, "f64": 1e-13}
SECONDS = 600


class Unanswered(Exception):
    """The program gave no numbers."""


def shapes(cell, size):
    """The shapes of the parameters of a recurrence."""
    h, k, o = size["H"], size["K"], size["O"]
    ends = ("_fw", "_bw") if cell == BOTH_WAYS else ("",)
    if cell == RNN:
        found = {"W_X": (h, k), "W_H": (h, h), "b_h": (h,)}
    else:
        gates = [g + end for end in ends for g in ("ifgo" if cell.startswith("lstm") else "rzn")]
        parts = {"W": (h, k), "U": (h, h), "b": (h,)}
        found = {f"{part}_{g}": shape for g in gates for part, shape in parts.items()}
        if cell == AFTER:
            found["b_u"] = (h,)
        if cell == PEEPHOLE:
            found |= {f"p_{g}": (h,) for g in "ifo"}
    return found | {"W_O": (o, h * len(ends)), "b_q": (o,)}


def question(cell, dtype, size, seed=1):
    noise = random.Random(seed)

    def array(shape, scale):
        if not shape:
            return round(noise.uniform(-1, 1) * scale, 4)
        return [array(shape[1:], scale) for _ in range(shape[0])]

    t, b = size["T"], size["B"]
    params = {n: array(s, s[-1] ** -0.5) for n, s in shapes(cell, size).items()}
    inputs = {"x": array((t, b, size["K"]), 1)}
    inputs |= {name: array((b, size["H"]), 1) for name in starts(cell)}
    if cell == RNN:
        inputs["y"] = array((t, b, size["O"]), 1)
    else:
        inputs["y"] = [[noise.randrange(size["O"]) for _ in range(b)] for _ in range(t)]
    return {"recurrence": cell, "dtype": dtype, "second_order": False,
            "sizes": {n: size[n] for n in "HKO"}, "steps": t, "samples": b, "lengths": [t] * b,
            "params": params, "inputs": inputs}


def of_samples(asked, change):
    """The question with another list of samples."""
    inputs = {n: [change(step) for step in a] if n in "xy" else change(a)
              for n, a in asked["inputs"].items()}
    samples = len(inputs["x"][0])
    return asked | {"inputs": inputs, "samples": samples, "lengths": [asked["steps"]] * samples}


def ask(command, questions, threads=1):
    lines = [json.dumps({"id": i} | q) for i, q in enumerate(questions, 1)]
    done = subprocess.run(command, shell=True, cwd=HERE, input="\n".join(lines) + "\n", text=True,
                          capture_output=True, env=environment(threads), preexec_fn=pin(threads),
                          timeout=SECONDS)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(questions):
        raise Unanswered((done.stderr.strip().splitlines() or ["it ended"])[-1])
    for answer in answers:
        del answer["id"]
        if reason := answer.get("unsupported") or answer.get("error"):
            raise Unanswered(reason)
    return answers


def numbers(value):
    if isinstance(value, dict):
        return [x for part in value.values() for x in numbers(part)]
    if isinstance(value, list):
        return [x for part in value for x in numbers(part)]
    return [value]


def arrays(answer):
    """Every array of an answer, by its path."""
    found = {"loss": [answer["loss"]]}
    for group in ("outputs", "gradient"):
        found |= {f"{group}/{n}": numbers(a) for n, a in answer.get(group, {}).items()}
    return found


def difference(one, other):
    """The largest difference relative to the largest entry of its array."""
    largest = 0.0
    for name, right in one.items():
        scale = max(map(abs, right)) or 1.0
        largest = max([largest] + [abs(a - b) / scale for a, b in zip(right, other[name], strict=True)])
    return largest


def verdict(error, bound=0.0):
    return {"held": error <= bound, "error": error}


@functools.cache
def large(command, cell, dtype, threads, process):
    """The answers to the same question twice; `process` tells processes apart."""
    asked = question(cell, dtype, LARGE)
    return [arrays(a) for a in ask(command, [asked] * (2 if process == 1 else 1), threads)]


def repeated(library, cell, dtype, peers):
    """The same bits from the same question, in one process and in another one."""
    command = library.line(peers, library.threads.format(threads=2))
    first, *others = large(command, cell, dtype, 2, 1) + large(command, cell, dtype, 2, 2)
    return verdict(max(difference(first, a) for a in others))


def threads(library, cell, dtype, peers):
    """The same bits on one thread and on two."""
    one, two = (large(library.line(peers, library.threads.format(threads=n)), cell, dtype, n, 2)[0]
                for n in (1, 2))
    return verdict(difference(one, two))


def of_sample(answer, b, begins):
    """The arrays that belong to a sample: its outputs, and the gradients of its inputs and starts."""
    found = {"outputs/o": numbers([step[b] for step in answer["outputs"]["o"]])}
    gradient = answer.get("gradient", {})
    for name in gradient:
        if name == "x" or name in begins:
            own = [step[b] for step in gradient[name]] if name == "x" else gradient[name][b]
            found[f"gradient/{name}"] = numbers(own)
    return found


def batch(library, cell, dtype, peers):
    """The same bits for a sample whose neighbours change, and the same up to rounding without them."""
    asked = question(cell, dtype, SMALL)
    other = question(cell, dtype, SMALL, seed=2) | {"params": asked["params"]}
    first = {n: [a[0] for a in v] if n in "xy" else v[0] for n, v in asked["inputs"].items()}
    for name, array in other["inputs"].items():
        if name in "xy":
            for step, own in zip(array, first[name]):
                step[0] = own
        else:
            array[0] = first[name]
    alone = of_samples(asked, lambda samples: samples[:1])
    answers = ask(library.line(peers, library.threads.format(threads=1)), [asked, other, alone])
    right, changed, single = (of_sample(a, 0, starts(cell)) for a in answers)
    found = verdict(difference(right, changed))
    found["alone"] = difference(right, single)
    found["held"] = found["held"] and found["alone"] <= ROUNDING[dtype]
    return found
