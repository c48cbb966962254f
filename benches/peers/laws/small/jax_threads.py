import os
import subprocess
import sys

if len(sys.argv) == 1:
    for cores in (1, 2):
        subprocess.run([sys.executable, __file__, str(cores)])
else:
    # XLA takes its number of threads from the cores that it may use.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])
    import jax.numpy as jnp
    import numpy as np
    a = jnp.asarray(np.random.default_rng(1).normal(size=(96, 384)), "float32")
    sums = np.asarray(a.sum(0))  # as in the gradient of a bias: a sum over the samples
    print(f"cores: {sys.argv[1]}, sums: {sums[:3]}, their bits added up: {sums.view('uint32').sum()}")
