"""The cases, each with its required speedup."""
from dataclasses import dataclass

BUILT_IN = ("rnn_tanh", "lstm", "gru_reset_after")
CUSTOM = ("custom_peephole", "custom_mgu", "custom_cproj", "custom_cornn")

# The numbers of blocks H × K and H × H in the weights of a cell.
BLOCKS = {
    "rnn_tanh": (1, 1), "lstm": (4, 4), "gru_reset_after": (3, 3), "custom_peephole": (4, 4),
    "custom_mgu": (2, 2), "custom_cproj": (3, 4), "custom_cornn": (1, 2),
}


@dataclass(frozen=True)
class Case:
    """One gradient: T steps, B samples, inputs [K], states [H]."""
    group: str
    cell: str
    T: int
    B: int
    K: int
    H: int
    dtype: str
    threads: int
    must: float  # how many times faster than the best peer
    peak: float | None = None  # the fraction of the FMA peak to reach

    @property
    def id(self):
        return f"{self.cell} T{self.T} B{self.B} K{self.K} H{self.H} {self.dtype} {self.threads}t"

    @property
    def flops(self):
        """Operations of the matrix products: W_X forward and its gradient; W_H also for the cotangent of h."""
        if self.cell not in BLOCKS:
            return None
        inputs, states = BLOCKS[self.cell]
        return 2 * self.T * self.B * self.H * (2 * inputs * self.K + 3 * states * self.H)

    def on(self, threads):
        """The name of the same case on another number of threads."""
        return self.id.replace(f" {self.threads}t", f" {threads}t")

    def message(self, **more):
        fields = ("id", "cell", "T", "B", "K", "H", "dtype", "threads")
        return {f: getattr(self, f) for f in fields} | {"what": "gradient"} | more


# (T, B, K, H), the required speedup over the best peer, and the required share of the FMA peak.
SHAPES = (
    ((64, 1, 32, 32), 3.0, None), ((64, 1, 32, 128), 2.0, None), ((1000, 1, 16, 64), 2.0, None),
    ((128, 32, 64, 64), 1.7, None), ((128, 32, 128, 256), 1.4, None),
    ((128, 64, 256, 512), 1.35, 0.7), ((50, 128, 64, 1024), 1.2, 0.7),
)
SMALL, MIDDLE, LARGE = (64, 1, 32, 32), (128, 32, 64, 64), (128, 32, 128, 256)


def all_cases():
    found = []

    def add(group, cells, shape, dtype, must, threads=1, peak=None):
        found.extend(Case(group, c, *shape, dtype, threads, must, peak) for c in cells)

    for shape, must, peak in SHAPES:
        add("f32", BUILT_IN, shape, "f32", must, peak=peak)
    add("custom cells, f32", CUSTOM, SMALL, "f32", 3.0)
    add("custom cells, f32", CUSTOM, LARGE, "f32", 1.6)
    for shape in (SMALL, MIDDLE, LARGE):
        add("f64", BUILT_IN, shape, "f64", 1.8)
    for shape in ((1000, 1, 2, 4), (10000, 1, 1, 2)):
        add("tiny, f64", BUILT_IN[:1], shape, "f64", 1.0)
        add("tiny, f64", BUILT_IN[1:], shape, "f64", 3.0)
    add("tiny, f64", ("garch",), (1974, 1, 1, 1), "f64", 1.0)
    for shape, must, peak in SHAPES:
        if shape[1] >= 32:
            add("f32, 2 threads", BUILT_IN, shape, "f32", must, threads=2, peak=peak)
    return found


TWO_THREADS_MUST = 1.8  # times our own time on one thread
BY_HAND_MUST = 0.02  # a user's LSTM against the built-in one
MEMORY_MUST = 450  # MB over the base, LSTM B32 K64 H128 T4000 f32
GROWTH_MUST = 1.03  # the exponent of T in time and memory
