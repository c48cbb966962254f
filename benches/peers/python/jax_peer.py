"""JAX: `lax.scan` under `jit(value_and_grad)`, the input products in the step (`plain`) or before
the scan (`hoisted`)."""
import sys

import jax
import jax.numpy as jnp
from jax import lax

import cells
from protocol import GARCH, LN_2PI, Unsupported, checksum, garch_checksum, problem, returns, serve

jax.config.update("jax_enable_x64", True)


class F:
    sigmoid, tanh = staticmethod(jax.nn.sigmoid), staticmethod(jnp.tanh)
    addmm = staticmethod(lambda a, h, w: a + h @ w)
    split = staticmethod(lambda x, n: jnp.split(x, n, -1))
    join = staticmethod(lambda a, b: jnp.concatenate((a, b), 1))


def timed(loss, arguments, sums):
    """Runs `loss` of the arguments and its gradient with respect to the first."""
    f = jax.jit(jax.value_and_grad(loss))
    found = []

    def run():
        found[:] = jax.block_until_ready(f(*arguments))

    return run, lambda: sums(*found)


def network(case, hoisted):
    cell, (T, B, K, H) = case["cell"], (case[k] for k in "TBKH")
    P, X, W = problem(case)

    def loss(P, X, W):
        Q = cells.prepare(cell, P, H)
        product = lambda x: x @ Q["W_X"].T + Q["b"]
        if hoisted:
            inputs, enter = product(X.reshape(T * B, K)).reshape(T, B, -1), lambda a: a
        else:
            inputs, enter = X, product
        states = tuple(jnp.zeros((B, H), X.dtype) for _ in range(cells.STATES[cell]))
        step = lambda states, x: cells.step(cell, F, Q, enter(x), states)[::-1]
        return jnp.vdot(lax.scan(step, states, inputs)[1], W)

    return timed(loss, jax.tree.map(jnp.asarray, (P, X, W)), checksum)


def garch():
    def loss(theta, r):
        mu, omega, alpha, beta = theta
        squares = (r - mu) ** 2
        step = lambda v, square: (omega + alpha * square + beta * v, v)
        v = lax.scan(step, omega + (alpha + beta) * squares.mean(), squares)[1]
        return 0.5 * jnp.sum(LN_2PI + jnp.log(v) + squares / v)

    theta = [jnp.asarray(v) for v in GARCH.values()]
    return timed(loss, (theta, jnp.asarray(returns())), garch_checksum)


def build(case):
    hoisted = sys.argv[1] == "hoisted"
    if case["cell"] == "garch":
        if hoisted:
            raise Unsupported("no product to hoist")
        return garch()
    return network(case, hoisted)


if __name__ == "__main__":
    serve(build)
