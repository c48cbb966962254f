"""Gradients of a long LSTM in little memory: ours, JAX with nested checkpoints, Equinox with its checkpointed loop.

    python benches/peers/checkpoints.py        # needs jax and equinox

T = 4000, B = 32, K = 64, H = 128, O = 10 in f32, one thread. The memory of JAX and Equinox is the temporary memory of the
compiled function; ours runs in as many bytes as the nearest of them, by `examples/memory.rs`. The processes take turns."""
import json
import os
import subprocess
import sys
import time

ROUNDS = 3
T, B, K, H, O = 4000, 32, 64, 128, 10
# The least memory of ours, in megabytes.
LEAST = 8


def peer(kind):
    """Prints the temporary memory in bytes, then the seconds of a gradient for each line of the input."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import jax
    import jax.numpy as jnp
    import numpy as np

    random = np.random.default_rng(1)
    numbers = lambda *shape: jnp.asarray(random.uniform(-0.1, 0.1, shape), jnp.float32)
    params = {"W": numbers(K, 4 * H), "U": numbers(H, 4 * H), "b": numbers(4 * H),
              "V": numbers(H, O), "c": numbers(O)}
    x, y = numbers(T, B, K), numbers(T, B, O)

    def step(p, state, data):
        h, c = state
        x, y = data
        i, f, g, o = jnp.split(x @ p["W"] + h @ p["U"] + p["b"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), 0.5 * jnp.sum((h @ p["V"] + p["c"] - y) ** 2)

    start = (jnp.zeros((B, H), jnp.float32),) * 2

    def loss(p, x, y):
        body = lambda state, data: step(p, state, data)
        if kind == "all":
            return jnp.sum(jax.lax.scan(body, start, (x, y))[1])
        if kind == "nested":
            segments = 50
            cut = lambda a: a.reshape(segments, T // segments, *a.shape[1:])
            segment = jax.checkpoint(lambda state, data: jax.lax.scan(body, state, data))
            return jnp.sum(jax.lax.scan(segment, start, (cut(x), cut(y)))[1])
        import equinox.internal as eqxi
        return jnp.sum(eqxi.scan(body, start, (x, y), kind="checkpointed", checkpoints=int(kind))[1])

    run = jax.jit(jax.value_and_grad(loss)).lower(params, x, y).compile()
    jax.block_until_ready(run(params, x, y))
    print(run.memory_analysis().temp_size_in_bytes, flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        jax.block_until_ready(run(params, x, y))
        print(time.perf_counter() - begin, flush=True)


def ours(megabytes):
    """The seconds of a gradient, and its memory in bytes, as printed by the example."""
    command = ["cargo", "run", "--release", "--quiet", "--example", "memory", "--", "--lstm", str(megabytes)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found["seconds"], found["bytes"]


def main():
    kinds = {"JAX, all values": "all", "JAX, nested checkpoints": "nested",
             "Equinox, 88 checkpoints": "88", "Equinox, 1000 checkpoints": "1000"}
    peers = {name: subprocess.Popen([sys.executable, __file__, kind], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, text=True, bufsize=1)
             for name, kind in kinds.items()}
    memory = {name: int(p.stdout.readline()) for name, p in peers.items()}
    rows = {name: [] for name in peers}
    own = {name: [] for name in peers}
    for _ in range(ROUNDS):
        for name, process in peers.items():
            process.stdin.write("\n")
            rows[name].append(float(process.stdout.readline()))
            own[name].append(ours(max(memory[name] / 1e6, LEAST)))
    print("| | memory | time | ours in that memory | time | ratio |\n|---|---|---|---|---|---|")
    for name in peers:
        seconds, (mine, used) = min(rows[name]), min(own[name])
        print(f"| {name} | {memory[name] / 1e6:.1f} MB | {seconds:.2f} s | {used / 1e6:.1f} MB | {mine:.2f} s "
              f"| {seconds / mine:.2f} |")
    for process in peers.values():
        process.stdin.close()


if __name__ == "__main__":
    peer(sys.argv[1]) if len(sys.argv) > 1 else main()
