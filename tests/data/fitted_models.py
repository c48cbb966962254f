"""Writes `fitted_models.csv`: likelihoods and estimates of models in examples/recurrences, by other programs.

    pip install torch==2.15.0 numpy==2.4.6 scipy==1.17.1 arch==8.0.0 statsmodels==0.15.0 hmmlearn==0.3.3 casadi==3.8.2
    python tests/data/fitted_models.py > tests/data/fitted_models.csv
"""

import pathlib

import numpy
from scipy.optimize import minimize
from scipy.special import gammaln

ROOT = pathlib.Path(__file__).resolve().parents[2]
RETURNS = numpy.loadtxt(ROOT / "data/dmbp.csv", skiprows=1)


def row(model, quantity, values):
    for index, value in enumerate(numpy.ravel(values)):
        print(f"{model},{quantity},{index},{float(value)!r}")


def optimum(loss, start, step=1e-2):
    """A minimum without derivatives, then Newton steps with differences in extended precision."""
    found = minimize(loss, start, method="Nelder-Mead", options=dict(xatol=1e-7, fatol=1e-11, maxiter=20000, maxfev=20000))
    x = numpy.array(found.x, numpy.longdouble)
    n = len(x)
    for _ in range(6):
        h = numpy.maximum(numpy.abs(x), 1e-2) * numpy.longdouble(1e-4)
        e = numpy.diag(h)
        g = [(8 * (loss(x + e[i]) - loss(x - e[i])) - loss(x + 2 * e[i]) + loss(x - 2 * e[i])) / (12 * h[i]) for i in range(n)]
        H = [[(loss(x + e[i] + e[j]) - loss(x + e[i] - e[j]) - loss(x - e[i] + e[j]) + loss(x - e[i] - e[j])) / (4 * h[i] * h[j])
              for j in range(n)] for i in range(n)]
        x = x - numpy.linalg.solve(numpy.array(H, float), numpy.array(g, float))
    return x


def garch(distribution, leverage):
    """Estimates of GARCH(1, 1), with the likelihood of `arch` at these estimates."""
    from arch import arch_model

    r = RETURNS.astype(numpy.longdouble)

    def variances(mu, omega, alpha, gamma, beta):
        e = r - mu
        before = (e**2).mean()
        v, all = omega + (alpha + gamma / 2 + beta) * before, []
        for x in e:
            all.append(v)
            v = omega + (alpha + gamma * (x < 0)) * x**2 + beta * v
        return e, numpy.array(all)

    def split(p):
        shape = p[-1] if distribution == "t" else None
        p = p[:-1] if distribution == "t" else p
        return (p if leverage else [*p[:3], 0, p[3]]), shape

    def loss(p):
        main, nu = split(p)
        e, v = variances(*main)
        if min(v) <= 0 or (nu is not None and nu <= 2):
            return numpy.inf
        if nu is None:
            return (numpy.log(2 * numpy.pi * v) + e**2 / v).sum() / 2
        constant = gammaln(float(nu + 1) / 2) - gammaln(float(nu) / 2) - numpy.log(numpy.pi * (nu - 2)) / 2
        return (numpy.log(v) + (nu + 1) * numpy.log1p(e**2 / ((nu - 2) * v))).sum() / 2 - len(r) * constant

    start = [0.0, 0.01, 0.13, *([0.03] if leverage else []), 0.83, *([5.0] if distribution == "t" else [])]
    found = optimum(loss, start)
    least = float(loss(found))
    model = arch_model(RETURNS, mean="Constant", p=1, o=int(leverage), q=1, dist=distribution, rescale=False)
    before = float(((r - found[0]) ** 2).mean())
    fixed = model.fix(numpy.array(found, float))
    # `fix` has no backcast of its own choice: the likelihood is computed with the parts of the model.
    e = RETURNS - float(found[0])
    v = numpy.empty_like(e)
    volatility = numpy.array(found[1:-1] if distribution == "t" else found[1:], float)
    model.volatility.compute_variance(volatility, e, v, before, numpy.tile([0.0, 1e9], (len(e), 1)))
    shape = numpy.array(found[-1:] if distribution == "t" else [], float)
    theirs = -model.distribution.loglikelihood(shape, e, v)
    assert abs(theirs - least) < 1e-9 * least, (theirs, least, fixed.loglikelihood)
    name = "garch_t" if distribution == "t" else "gjr_garch"
    row(name, "loss", theirs)
    if distribution == "t":
        row(name, "nu", found[-1])
        found[-1] = numpy.log(found[-1] - 2)
    row(name, "estimates", found)



def epidemic():
    """The counts of 1978, with the probability function of scipy."""
    counts = numpy.loadtxt(ROOT / "data/influenza.csv", delimiter=",", skiprows=1)[:, 1]

    def ill(contact, recovery):
        S, I, all = 762.0, 1.0, []
        for _ in counts:
            escaped = S * numpy.exp(-contact * I / 763)
            S, I = escaped, I * numpy.exp(-recovery) + S - escaped
            all.append(I)
        return numpy.array(all)

    def loss(p):
        from scipy.stats import nbinom

        contact, recovery, size = numpy.exp(numpy.array(p, float))
        mean = ill(contact, recovery)
        if min(mean) <= 0:
            return numpy.inf
        return -nbinom.logpmf(counts, size, size / (size + mean)).sum()

    found = optimum(loss, [0.5, -0.6, 2.5])
    row("sir_counts", "loss", loss(found))
    row("sir_counts", "estimates", found)


def regimes():
    """Baum and Welch's method for two regimes of the size of returns, from the distribution (1/2, 1/2) before the first."""
    from hmmlearn.hmm import CategoricalHMM

    symbols = (abs(RETURNS) >= 0.25).astype(int) + (abs(RETURNS) >= 0.6)
    start = numpy.array([0.5, 0.5])
    move = numpy.array([[0.9, 0.1], [0.2, 0.8]])
    emit = numpy.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]])
    for _ in range(20000):
        T = len(symbols)
        a, scale = numpy.empty((T + 1, 2)), numpy.empty(T)
        a[0] = start
        for t, symbol in enumerate(symbols):
            joint = (a[t] @ move) * emit[:, symbol]
            scale[t] = joint.sum()
            a[t + 1] = joint / scale[t]
        b = numpy.ones((T + 1, 2))
        moves = numpy.zeros((2, 2))
        for t in range(T - 1, -1, -1):
            after = emit[:, symbols[t]] * b[t + 1] / scale[t]
            moves += a[t][:, None] * move * after
            b[t] = move @ after
        share = a[1:] * b[1:]
        emits = numpy.array([share[symbols == c].sum(0) for c in range(3)]).T
        before = (move, emit)
        move = moves / moves.sum(1, keepdims=True)
        emit = emits / emits.sum(1, keepdims=True)
        if max(abs(move - before[0]).max(), abs(emit - before[1]).max()) < 1e-15:
            break
    theirs = CategoricalHMM(2)
    theirs.startprob_, theirs.transmat_, theirs.emissionprob_ = start @ move, move, emit
    likelihood = theirs.score(symbols[:, None])
    assert abs(likelihood - numpy.log(scale).sum()) < 1e-8
    row("hidden_markov", "loss", -likelihood)
    row("hidden_markov", "transition", move)
    row("hidden_markov", "emission", emit)


def factor():
    """A dynamic factor of the growth of three series, by the Kalman filter of statsmodels."""
    import statsmodels.api as sm
    from statsmodels.datasets import macrodata

    levels = macrodata.load_pandas().data[["realcons", "realinv", "realdpi"]].to_numpy()
    growth = numpy.diff(numpy.log(levels), axis=0)
    growth = (growth - growth.mean(0)) / growth.std(0)
    growth = growth.round(4)
    with open(ROOT / "tests/data/us_growth.csv", "w") as file:
        file.write("consumption,investment,income\n")
        file.writelines(",".join(f"{x:.4f}" for x in line) + "\n" for line in growth)
    model = sm.tsa.DynamicFactor(growth, k_factors=1, factor_order=1)
    # The factor is zero before the first step.
    model.ssm.initialize_known(numpy.zeros(1), numpy.ones((1, 1)))

    def loss(p):
        H, F, r = p[:3], p[3], p[4:]
        return -model.loglike([*map(float, H), *map(float, numpy.exp(r)), float(F)])

    found = optimum(loss, [0.7, 0.6, 0.6, 0.5, -0.5, -0.5, -0.5])
    row("state_space", "loss", loss(found) - len(growth) * 1.5 * numpy.log(2 * numpy.pi))
    row("state_space", "H", found[:3])
    row("state_space", "F", found[3])
    row("state_space", "r", found[4:])


def volatility():
    """The most probable path of the logarithm of the variance of 400 returns, by Newton's method on the path itself."""
    import scipy.sparse as sparse
    from scipy.sparse.linalg import spsolve

    r, mu, phi, sigma = RETURNS[:400], -1.0, numpy.tanh(1.8), numpy.exp(-1.5)
    T = len(r)
    shocks = sparse.lil_matrix((T + 1, T + 1))
    shocks[0, 0] = numpy.sqrt(1 - phi**2) / sigma
    for t in range(1, T + 1):
        shocks[t, t], shocks[t, t - 1] = 1 / sigma, -phi / sigma
    precision = (shocks.T @ shocks).tocsc()
    h = numpy.full(T + 1, mu)
    for _ in range(50):
        e = numpy.r_[0, r**2 * numpy.exp(-h[1:])]
        slope = precision @ (h - mu) + (numpy.r_[0, numpy.ones(T)] - e) / 2
        h = h - spsolve((precision + sparse.diags(e / 2)).tocsc(), slope)
    loss = (h - mu) @ (precision @ (h - mu)) / 2 + (h[1:] + r**2 * numpy.exp(-h[1:])).sum() / 2
    row("stochastic_volatility", "loss", loss)
    row("stochastic_volatility", "path", h[1::50])


def oscillator():
    """The control of least cost by multiple shooting, and the multipliers of the steps."""
    import casadi

    x, u = casadi.SX.sym("x", 2), casadi.SX.sym("u")
    slope = casadi.vertcat((1 - x[1] ** 2) * x[0] - x[1] + u, x[0])
    f = casadi.Function("f", [x, u], [slope, x[0] ** 2 + x[1] ** 2 + u**2])
    X, U, h = casadi.MX.sym("X", 2), casadi.MX.sym("U"), 0.25
    k, q = f(X + h / 2 * f(X, U)[0], U)
    step = casadi.Function("step", [X, U], [X + h * k, h * q])
    opti = casadi.Opti()
    xs, us, cost, rules = opti.variable(2, 41), opti.variable(40), 0, []
    opti.subject_to(xs[:, 0] == casadi.DM([0, 1]))
    for k in range(40):
        after, q = step(xs[:, k], us[k])
        rules.append(after == xs[:, k + 1])
        opti.subject_to(rules[-1])
        cost += q
    opti.minimize(cost)
    opti.solver("ipopt", {"print_time": False}, {"tol": 1e-13, "constr_viol_tol": 1e-14, "print_level": 0, "sb": "yes"})
    found = opti.solve()
    row("van_der_pol", "loss", found.value(cost))
    row("van_der_pol", "u", found.value(us))
    row("van_der_pol", "costates", [found.value(opti.dual(rule)) for rule in rules])


def network():
    """The loss and the gradient of a differential equation at irregular times, by an adaptive method and differences."""
    from scipy.integrate import solve_ivp

    table = numpy.loadtxt(ROOT / "tests/data/lynx_hare.csv", delimiter=",", skiprows=1)
    table = table[[0, 1, 2, 3, 5, 6, 9, 10, 11, 12, 15, 17, 18, 20]]
    times, seen = (table[:, 0] - 1900) / 20, numpy.log(table[:, 1:] / 20)
    shapes = [(3, 2), (3,), (2, 3), (2,), (2,)]

    def loss(p):
        parts, at = [], 0
        for shape in shapes:
            n = int(numpy.prod(shape))
            parts.append(p[at : at + n].reshape(shape))
            at += n
        W1, b1, W2, b2, z0 = parts
        path = solve_ivp(lambda t, z: W2 @ numpy.tanh(W1 @ z + b1) + b2, (0, 1), z0, "DOP853", times, rtol=1e-13, atol=1e-13)
        # The mean over the steps of half the sum of the squares.
        return ((path.y.T - seen) ** 2).sum() / 2 / len(seen)

    p = numpy.sin(numpy.arange(1, 20))
    slopes = []
    for i in range(len(p)):
        e = numpy.eye(len(p))[i] * 1e-3
        slopes.append((8 * (loss(p + e) - loss(p - e)) - loss(p + 2 * e) + loss(p - 2 * e)) / 12e-3)
    row("neural_ode", "loss", loss(p))
    row("neural_ode", "gradient", slopes)


def spikes():
    """Gradient descent of PyTorch on a spiking network, with a surrogate gradient of its own."""
    import torch

    def wave(*shape):
        count = int(numpy.prod(shape))
        return torch.tensor(numpy.sin(1.7 * numpy.arange(count) + 0.4).reshape(shape))

    T, B, K, H, C = 12, 6, 2, 5, 3
    x, label = 2 * wave(T, B, K), torch.arange(B) % C
    parameters = [6 * wave(H, K), wave(H, H), wave(C, H), torch.tensor(-1.0).double(), torch.tensor(-0.5).double()]
    W, V, W_o, ln_decay, ln_leak = [p.clone().requires_grad_() for p in parameters]

    def loss():
        decay, leak = torch.exp(-torch.exp(ln_decay)), torch.exp(-torch.exp(ln_leak))
        i = u = s = torch.zeros(B, H).double()
        o, count = torch.zeros(B, C).double(), 0.0
        for t in range(T):
            i = decay * i + x[t] @ W.T + s @ V.T
            u = leak * u * (1 - s.detach()) + (1 - leak) * i
            v = u - 1
            soft = v / (1 + 10 * v.abs())
            s = (v > 0).double() + soft - soft.detach()
            o, count = o + s @ W_o.T, count + s.sum().item()
        return torch.nn.functional.cross_entropy(o, label, reduction="sum"), count

    descent = torch.optim.SGD([W, V, W_o, ln_decay, ln_leak], lr=0.02)
    for step in range(61):
        value, count = loss()
        if step % 15 == 0:
            row("spiking", f"loss {step}", value.item())
            row("spiking", f"spikes {step}", count)
        descent.zero_grad()
        value.backward()
        if step == 0:
            row("spiking", "gradient W", W.grad)
            row("spiking", "gradient ln_leak", ln_leak.grad)
        if step < 60:
            descent.step()
    row("spiking", "V", V.detach())


print("model,quantity,index,value")
garch("t", False)
garch("normal", True)
epidemic()
regimes()
factor()
volatility()
oscillator()
network()
spikes()
