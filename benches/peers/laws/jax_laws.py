"""JAX for `bptt certify`: cells written with lax.scan, or the cells of Flax; gradients by reverse mode, tangents by
forward mode, Hessian products by forward over reverse.

    bptt certify lstm --run 'python3 jax_laws.py --cells flax'
"""
import argparse

import jax
import jax.numpy as jnp

from protocol import Unsupported, serve

jax.config.update("jax_enable_x64", True)


def scan_states(p, inputs, question, lengths):
    """The states `[T, B, H]` of a cell that is written here, and the last state of each sample."""
    if len(question.directions) == 2:
        raise Unsupported("the cells that are written here have one direction")

    def gate(name, x, h):
        return x @ p[f"W_{name}"].T + h @ p[f"U_{name}"].T + p[f"b_{name}"]

    def step(state, x):
        h = state[0]
        if question.cell == "rnn":
            state = (jnp.tanh(x @ p["W_X"].T + h @ p["W_H"].T + p["b_h"]),)
        elif question.cell == "lstm":
            i, f, o = (jax.nn.sigmoid(gate(name, x, h)) for name in "ifo")
            c = f * state[1] + i * jnp.tanh(gate("g", x, h))
            state = (o * jnp.tanh(c), c)
        else:
            r, z = (jax.nn.sigmoid(gate(name, x, h)) for name in "rz")
            if question.cell == "gru_reset_after":
                inner = r * (h @ p["U_n"].T + p["b_u"])
            else:
                inner = (r * h) @ p["U_n"].T
            n = jnp.tanh(x @ p["W_n"].T + p["b_n"] + inner)
            state = ((1 - z) * n + z * h,)
        return state, state[0]

    states = jax.lax.scan(step, start(inputs, question), inputs["x"])[1]
    return states, states[lengths - 1, jnp.arange(question.samples)]


def start(inputs, question, direction=""):
    names = [f"{state}0{direction}" for state in "hc"[:1 + question.has_cell_state]]
    zeros = jnp.zeros((question.samples, question.hidden), question.dtype)
    return tuple(inputs.get(name, zeros) for name in names)


def flax_states(p, inputs, question, lengths):
    """The states `[T, B, H]` of nn.RNN around a cell of Flax, and the last state of each sample."""
    from flax import linen as nn

    def dense(kernel, bias=None):
        return {"kernel": kernel.T} | ({} if bias is None else {"bias": bias})

    sizes = {"features": question.hidden, "dtype": question.dtype, "param_dtype": question.dtype}
    def lstm(end=""):
        tree = {f"i{g}": dense(p[f"W_{g}{end}"]) for g in "ifgo"}
        tree |= {f"h{g}": dense(p[f"U_{g}{end}"], p[f"b_{g}{end}"]) for g in "ifgo"}
        h, c = start(inputs, question, end)
        return nn.LSTMCell(**sizes), (c, h), {"cell": tree}

    lengths = None if question.equal_lengths else lengths
    if question.cell == "lstm_bidirectional":
        (one, first, there), (two, second, back) = lstm("_fw"), lstm("_bw")
        both = nn.Bidirectional(nn.RNN(one), nn.RNN(two), time_major=True)
        tree = {"forward_rnn": there, "backward_rnn": back}
        states = both.apply({"params": tree}, inputs["x"], initial_carry=(first, second),
                            seq_lengths=lengths)
        return states, None
    carry = start(inputs, question)
    if question.cell == "rnn":
        cell, carry = nn.SimpleCell(**sizes), carry[0]
        tree = {"i": dense(p["W_X"], p["b_h"]), "h": dense(p["W_H"])}
    elif question.cell == "lstm":
        cell, carry, tree = lstm()
        tree = tree["cell"]
    elif question.cell == "gru_reset_after":
        cell, carry = nn.GRUCell(**sizes), carry[0]
        tree = {f"i{g}": dense(p[f"W_{g}"], p[f"b_{g}"]) for g in "rzn"}
        tree |= {"hr": dense(p["U_r"]), "hz": dense(p["U_z"]), "hn": dense(p["U_n"], p["b_u"])}
    else:
        raise Unsupported("the GRU of Flax resets after the product")
    rnn = nn.RNN(cell, time_major=True, return_carry=True)
    last, states = rnn.apply({"params": {"cell": tree}}, inputs["x"], initial_carry=carry,
                             seq_lengths=lengths)
    return states, last[1] if question.cell == "lstm" else last


# A program is compiled for each key: the same sizes and the same kind of question.
compiled = {}


def program(question, cell):
    """The function of parameters, inputs, directions and what has no gradient, compiled."""
    key = (question.cell, question.at_end, question.equal_lengths, question.dtype, question.second_order,
           question.inputs["x"].shape, question.params["W_O"].shape)
    if key in compiled:
        return compiled[key]

    def run(leaves, fixed):
        params, inputs = leaves
        states, last = cell(params, inputs, question, fixed["lengths"])
        outputs = (last if question.at_end else states) @ params["W_O"].T + params["b_q"]
        if question.is_classification:
            scores = jax.nn.log_softmax(outputs)
            each = -jnp.take_along_axis(scores, fixed["y"][..., None], -1)[..., 0]
        else:
            each = ((outputs - inputs["y"]) ** 2).sum(-1) / 2
        if question.at_end:
            return each.sum(), {}
        return jnp.where(fixed["within"] > 0, each, 0).sum(), {"o": outputs}

    gradient = jax.value_and_grad(run, has_aux=True)
    if question.second_order:
        compiled[key] = jax.jit(lambda leaves, along, fixed: jax.jvp(
            lambda leaves: gradient(leaves, fixed), (leaves,), (along,)))
    else:
        compiled[key] = jax.jit(gradient)
    return compiled[key]


def of(question, cell):
    fixed = {"within": question.within(), "lengths": question.lengths}
    fixed |= {n: a for n, a in question.inputs.items() if a.dtype.kind == "i"}
    real = {n: a for n, a in question.inputs.items() if n not in fixed}
    leaves = (question.params, real)
    found = program(question, cell)
    if not question.second_order:
        (loss, outputs), slopes = found(leaves, fixed)
        return {"loss": loss, "outputs": outputs, "gradient": slopes[0] | slopes[1]}
    along = tuple({n: question.direction[n] for n in group} for group in leaves)
    ((loss, outputs), slopes), (tangent, product) = found(leaves, along, fixed)
    return {"loss": loss, "outputs": outputs, "gradient": slopes[0] | slopes[1],
            "tangent": {"loss": tangent[0]} | tangent[1],
            "hessian_vector": product[0] | product[1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", choices=("scan", "flax"), default="scan")
    cell = {"scan": scan_states, "flax": flax_states}[parser.parse_args().cells]
    serve(lambda question: of(question, cell))


if __name__ == "__main__":
    main()
