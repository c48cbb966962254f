"""PyTorch for `bptt certify`: nn.RNN, nn.LSTM and nn.GRU, the gradient by autograd, the Hessian product by
differentiating the gradient once more.

    bptt certify lstm --run 'python3 torch_laws.py --lengths packed'
"""
import argparse

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from protocol import Unsupported, serve

MODULES = {"rnn": nn.RNN, "lstm": nn.LSTM, "lstm_bidirectional": nn.LSTM,
           "gru_reset_after": nn.GRU}


def of(question, options):
    if question.cell not in MODULES:
        raise Unsupported("nn.GRU resets after the product")
    dtype = torch.float64 if question.dtype().itemsize == 8 else torch.float32
    directions = question.directions
    net = MODULES[question.cell](question.inputs["x"].shape[2], question.hidden, dtype=dtype,
                                 bidirectional=len(directions) == 2)
    head = nn.Linear(*reversed(question.params["W_O"].shape), dtype=dtype)
    weights = [getattr(net, f"{part}_l0{end}") for end in ("", "_reverse")[:len(directions)]
               for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

    def stacked(arrays):
        layers = [a for direction in directions for a in question.stacked(arrays, direction)]
        return layers + [arrays["W_O"], arrays["b_q"]]

    weights += [head.weight, head.bias]
    with torch.no_grad():
        for weight, value in zip(weights, stacked(question.params), strict=True):
            weight.copy_(torch.from_numpy(value))
    inputs = {name: torch.from_numpy(a) for name, a in question.inputs.items()}
    real = {name: a.requires_grad_() for name, a in inputs.items() if a.is_floating_point()}

    states, last = run(net, inputs, question, options)
    outputs = head(last if question.at_end else states)
    if question.is_classification:
        classes = outputs.movedim(-1, 1)
        each = nn.functional.cross_entropy(classes, inputs["y"], reduction="none")
    else:
        each = ((outputs - inputs["y"]) ** 2).sum(-1) / 2
    if not question.at_end:
        each = torch.where(torch.from_numpy(question.within()) > 0, each, 0)
    loss = each.sum()

    leaves = weights + list(real.values())
    gradient = torch.autograd.grad(loss, leaves, create_graph=question.second_order)

    def named(arrays):
        arrays = [a.detach().numpy() for a in arrays]
        found = dict(zip(["W_O", "b_q", *real], arrays[4 * len(directions):]))
        for i, direction in enumerate(directions):
            found |= question.parted(*arrays[4 * i:4 * i + 4], direction)
        return found

    answer = {"loss": loss.detach(), "gradient": named(gradient)}
    if not question.at_end:
        answer["outputs"] = {"o": outputs.detach()}
    if question.second_order:
        along = stacked(question.direction) + [question.direction[name] for name in real]
        product = sum((g * torch.from_numpy(v)).sum() for g, v in zip(gradient, along))
        answer["hessian_vector"] = named(
            torch.autograd.grad(product, leaves, materialize_grads=True))
    return answer


def run(net, inputs, question, options):
    """The states `[T, B, H]` and the last state of each sample `[B, H]`."""
    start = [question.starts(state, inputs) for state in "hc"[:1 + question.has_cell_state]]
    start = None if start[0] is None else tuple(torch.stack(each) for each in start)
    if start and not question.has_cell_state:
        start = start[0]
    if options.lengths == "masked":
        if question.at_end and not question.equal_lengths:
            raise Unsupported("without packing, the last state is that of the longest sample")
        if len(question.directions) == 2 and not question.equal_lengths:
            raise Unsupported("without packing, the reverse direction starts beyond the end")
        states, last = net(inputs["x"], start)
    else:
        lengths = torch.from_numpy(question.lengths)
        packed = pack_padded_sequence(inputs["x"], lengths, enforce_sorted=False)
        states, last = net(packed, start)
        states = pad_packed_sequence(states, total_length=question.steps)[0]
    return states, (last[0] if question.has_cell_state else last)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lengths", choices=("masked", "packed"), default="masked",
                        help="mask the loss beyond the end, or pack the inputs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-onednn", action="store_true", help="do without oneDNN")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.backends.mkldnn.enabled = not options.no_onednn
    serve(lambda question: of(question, options))


if __name__ == "__main__":
    main()
