"""The cells, shared by PyTorch and JAX; `F` provides the primitives."""

STATES = {"rnn_tanh": 1, "lstm": 2, "gru_reset_after": 1, "custom_peephole": 2, "custom_mgu": 1,
          "custom_cproj": 2, "custom_cornn": 2}


def prepare(cell, params, H):
    """The parameters, and the transposes used by a step."""
    P = dict(params)
    P["W_HT"] = P["W_H"].T
    if cell == "custom_cproj":
        P["W_PT"] = P["W_P"].T
    if cell == "custom_mgu":
        P["W_FT"], P["W_NT"] = P["W_H"][:H].T, P["W_H"][H:].T
    return P


def step(cell, F, P, a, states):
    """One step from a = W_X x + b: the output, and the states after it."""
    h, *rest = states
    if cell == "rnn_tanh":
        h = F.tanh(F.addmm(a, h, P["W_HT"]))
        return h, (h,)
    if cell == "lstm":
        i, f, g, o = F.split(F.addmm(a, h, P["W_HT"]), 4)
        c = F.sigmoid(f) * rest[0] + F.sigmoid(i) * F.tanh(g)
        h = F.sigmoid(o) * F.tanh(c)
        return h, (h, c)
    if cell == "gru_reset_after":
        (a_r, a_z, a_n), (u_r, u_z, u_n) = F.split(a, 3), F.split(F.addmm(P["b_H"], h, P["W_HT"]), 3)
        r, z = F.sigmoid(a_r + u_r), F.sigmoid(a_z + u_z)
        n = F.tanh(a_n + r * u_n)
        h = n + z * (h - n)
        return h, (h,)
    if cell == "custom_peephole":
        (c,), p = rest, P["p"]
        i, f, g, o = F.split(F.addmm(a, h, P["W_HT"]), 4)
        c = F.sigmoid(f + p[1] * c) * c + F.sigmoid(i + p[0] * c) * F.tanh(g)
        h = F.sigmoid(o + p[2] * c) * F.tanh(c)
        return h, (h, c)
    if cell == "custom_mgu":
        a_f, a_n = F.split(a, 2)
        f = F.sigmoid(F.addmm(a_f, h, P["W_FT"]))
        n = F.tanh(F.addmm(a_n, f * h, P["W_NT"]))
        h = h + f * (n - h)
        return h, (h,)
    if cell == "custom_cproj":
        (c,) = rest
        f, g, o = F.split(F.addmm(a, h, P["W_HT"]), 3)
        g = F.tanh(g)
        c = g + F.sigmoid(f) * (c - g)
        h = F.tanh(F.addmm(P["b_P"], F.sigmoid(o) * F.tanh(c), P["W_PT"]))
        return h, (h, c)
    if cell == "custom_cornn":
        y, (z,) = h, rest
        u = F.tanh(F.addmm(a, F.join(y, z), P["W_HT"]))
        z = z + 0.0625 * (u - 2.75 * y - 4.75 * z)
        y = y + 0.0625 * z
        return y, (y, z)
    raise KeyError(cell)
