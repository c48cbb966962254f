"""The libraries: their cells, their commands, and what they offer."""
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent
PROJECT = PEERS.parent.parent
sys.path.insert(0, str(PEERS))
from install import shell  # noqa: E402

RUST = {"candle": "laws_candle", "burn": "laws_burn", "rust-lstm": "laws_rust_lstm"}
RNN, LSTM, PEEPHOLE = "rnn", "lstm", "lstm_peephole"
BOTH_WAYS = "lstm_bidirectional"
AFTER, BEFORE = "gru_reset_after", "gru_reset_before"


def starts(cell):
    """The names of the inputs with which the states of a recurrence start."""
    ends = ("_fw", "_bw") if cell == BOTH_WAYS else ("",)
    return [f"{state}0{end}" for end in ends for state in ("hc" if cell.startswith("lstm") else "h")]


@dataclass
class Library:
    """A row of the page for each cell."""
    name: str
    packages: tuple
    # What computes each recurrence.
    cells: dict
    # The command in the folder of this file; `{peers}` is the folder of the installed peers.
    command: str
    dtypes: tuple = ("f32", "f64")
    # More words of the command for the lengths that the library itself knows; None if it knows none.
    lengths: str = None
    forward_only: bool = False
    second_order: bool = False
    # More options of `bptt certify`.
    options: tuple = ()
    # More words of the command for the number of threads.
    threads: str = ""
    conventions: tuple = field(default=())

    def line(self, peers, more=""):
        return f"{self.command.format(peers=peers)} {more}".strip()


PYTHON = "{peers}/venv/bin/python "
# JAX compiles a program for each set of sizes.
ONE_SIZE = ("--dims", "H=4,K=3,O=2", "--steps", "6", "--samples", "3")
RUST_BINARY = "{peers}/rust/debug/"
LIBRARIES = (
    Library(
        "PyTorch", ("torch",), {RNN: "nn.RNN", LSTM: "nn.LSTM", BOTH_WAYS: "nn.LSTM", AFTER: "nn.GRU"},
        PYTHON + "torch_laws.py", lengths="--lengths packed", threads="--threads {threads}",
        second_order=True,
        conventions=(
            "Lengths are those of a `PackedSequence`; the last state is `h_n`.",
            "It has two biases for each gate. Only their sum matters, except for the new gate of `nn.GRU`: the second "
            "one is zero here, and `b_u` there.",
            "The gates are stacked `i f g o` and `r z n`; the GRU resets after the product.",
        )),
    Library(
        "JAX", ("jax",), {RNN: "lax.scan", LSTM: "lax.scan", AFTER: "lax.scan", BEFORE: "lax.scan"},
        PYTHON + "jax_laws.py --cells scan", second_order=True, options=ONE_SIZE,
        conventions=(
            "JAX itself has no cells: these are written in a few lines around `lax.scan`, so the laws are those of its "
            "differentiation. f64 needs `jax_enable_x64`.",
            "It compiles a program for each set of sizes, so all cases have the same sizes; lengths and numbers differ.",
        )),
    Library(
        "Flax", ("flax", "jax"),
        {RNN: "nn.SimpleCell", LSTM: "nn.LSTMCell", BOTH_WAYS: "nn.Bidirectional",
         AFTER: "nn.GRUCell"},
        PYTHON + "jax_laws.py --cells flax", lengths="", second_order=True,
        options=ONE_SIZE,
        conventions=(
            "Lengths are `seq_lengths` of `nn.RNN`; the last state is the carry that it returns. The outputs go on "
            "beyond the end, as documented, and the loss leaves them out.",
            "Biases are on one side only, the GRU resets after the product, and the carry of the LSTM is `(c, h)`.",
        )),
    Library(
        "onnxruntime", ("onnxruntime", "onnx"), {RNN: "RNN", LSTM: "LSTM", BOTH_WAYS: "LSTM", AFTER: "GRU", BEFORE: "GRU"},
        PYTHON + "onnxruntime_laws.py", lengths="", forward_only=True,
        threads="--threads {threads}",
        conventions=(
            "It runs models, so only the forward laws apply. Lengths are the input `sequence_lens`; the last state is "
            "`Y_h`.",
            "The gates of ONNX are stacked `i o f c` and `z r h`; `linear_before_reset = 1` resets after the product.",
        )),
    Library(
        "candle", ("candle-nn",), {LSTM: "rnn::LSTM", AFTER: "rnn::GRU"}, RUST_BINARY + RUST["candle"],
        conventions=(
            "It has two biases, stacks the gates and resets after the product as PyTorch does. It has no plain RNN.",
            "It offers no lengths: all samples run to the longest length, and the loss leaves out the rest.",
        )),
    Library(
        "burn", ("burn",), {RNN: "nn::Rnn", LSTM: "nn::Lstm", AFTER: "nn::Gru", BEFORE: "nn::Gru"},
        RUST_BINARY + RUST["burn"],
        conventions=(
            "A gate is a module with two linear layers, whose weights are `[input, output]`. `with_reset_after` "
            "chooses the GRU; both are here. The backend is `flex`.",
            "It offers no lengths: all samples run to the longest length, and the loss leaves out the rest.",
        )),
    Library(
        "rust-lstm", ("rust-lstm",),
        {LSTM: "LSTMCell", PEEPHOLE: "PeepholeLSTMCell", BEFORE: "GRUCell"},
        RUST_BINARY + RUST["rust-lstm"], dtypes=("f64",),
        conventions=(
            "Its numbers are `f64`, samples are columns, and the backward pass is written by hand, step by step.",
            "Its GRU computes `(1 − z) ⊙ h + z ⊙ n` and resets before the product. As `1 − σ(a) = σ(−a)`, the parameters "
            "of `z` change their sign on the way in, and their gradients on the way out.",
            "It pads batches with zeros (`forward_batch_sequences`) and cuts the outputs; the backward pass knows no "
            "lengths, so the loss leaves out the rest.",
        )),
)


def install(peers):
    """Installs what is missing; a library that cannot be installed is left out of the page."""
    peers.mkdir(parents=True, exist_ok=True)
    with open(peers / "install.log", "a") as log:
        venv = peers / "venv"
        steps = []
        if not (venv / "bin/python").exists():
            steps.append([sys.executable, "-m", "venv", venv])
        steps.append([venv / "bin/python", "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"])
        for crate, binary in RUST.items():
            manifest = PEERS / "rust" / crate / "Cargo.toml"
            steps.append(["cargo", "build", "--manifest-path", manifest, "--bin", binary,
                          "--target-dir", peers / "rust"])
        for step in steps:
            try:
                shell(step, log)
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"  failed, see {log.name}: {error}", flush=True)


def version(library, peers):
    """The installed versions, or None if the library is not there."""
    if library.command.startswith(RUST_BINARY):
        crate = library.name
        if not Path(library.line(peers)).exists():
            return None
        manifest = (PEERS / f"rust/{crate}/Cargo.toml").read_text()
        return crate + " " + re.search(rf'^{crate}(?:-core)? = .*"=([\d.]+)"', manifest, re.M).group(1)
    ask = ("from importlib.metadata import version as v\n"
           f"print(', '.join(f'{{p}} {{v(p)}}' for p in {library.packages!r}))")
    done = subprocess.run([peers / "venv/bin/python", "-c", ask], capture_output=True, text=True)
    return done.stdout.strip() or None


def ours():
    """Builds `bptt`; returns its path."""
    if not shutil.which("cargo"):
        sys.exit("cargo is needed: install Rust 1.89 or later")
    command = ["cargo", "build", "--release", "--locked", "-p", "bptt-cli", "--message-format=json"]
    done = subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True)
    built = [json.loads(line) for line in done.stdout.splitlines()]
    return next(m["executable"] for m in reversed(built) if m.get("executable"))


def environment(threads):
    """The variables by which libraries take their number of threads."""
    names = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return os.environ | {name: str(threads) for name in names}
