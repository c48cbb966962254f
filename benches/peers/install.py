"""Installs the peers in a folder of their own. Installed peers are left as they are; peers that cannot
be installed are named, and are missing from the tables."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
RUST = {"common": "peak", "candle": "peer-candle", "burn": "peer-burn", "rust-lstm": "peer-rust-lstm"}
GITHUB = "https://github.com/"
SOURCES = {"gradbench": "gradbench/gradbench", "CoDiPack": "SciCompKL/CoDiPack",
           "CppAD": "coin-or/CppAD", "Adept-2": "rjhogan/Adept-2"}


def shell(command, log, **more):
    """Runs a command, with its output in the log."""
    print("  $", *command, flush=True)
    subprocess.run(list(map(str, command)), check=True, stdout=log, stderr=log, **more)


def python(folder, log):
    venv = folder / "venv"
    if not (venv / "bin/python").exists():
        shell([sys.executable, "-m", "venv", venv], log)
        shell([venv / "bin/pip", "install", "-r", HERE / "python/requirements.txt"], log)


def rust(folder, crate, log):
    if (folder / "rust/release" / RUST[crate]).exists():
        return
    environment = os.environ | {"RUSTFLAGS": "-C target-cpu=native"}
    shell(["cargo", "build", "--release", "--manifest-path", HERE / "rust" / crate / "Cargo.toml",
           "--target-dir", folder / "rust"], log, env=environment)


def gradbench(folder, tool, log):
    """One tool of GradBench, compiled for this machine."""
    root = folder / "gradbench"
    suite, prefix = root / "gradbench", root / "prefix"
    place = suite / "tools" / tool
    if (place / "bin/lstm").exists():
        return

    def clone(name):
        if not (root / name).exists():
            shell(["git", "clone", "--depth", "1", GITHUB + SOURCES[name], root / name], log)
        return root / name

    clone("gradbench")
    json_header = suite / "cpp/json.hpp"
    if not json_header.exists() and Path("/usr/include/nlohmann/json.hpp").exists():
        json_header.write_text("#include <nlohmann/json.hpp>\n")
    elif not json_header.exists():
        shell(["make", "-C", suite / "cpp", "json.hpp"], log)
    if tool in ("manual", "tapenade"):
        shell(["make", "-C", place, "bin/lstm"], log)
        return
    if tool == "codipack":
        flags = ["-DCODI_ForcedInlines=1", f"-I{clone('CoDiPack')}/include"]
    elif tool == "cppad":
        if not (prefix / "include/cppad").exists():
            build = clone("CppAD") / "build"
            shell(["cmake", "-S", build.parent, "-B", build, "-DCMAKE_BUILD_TYPE=Release",
                   f"-Dcppad_prefix={prefix}"], log)
            shell(["make", "-C", build, "install"], log)
        flags = ["-DNDEBUG", *libraries(prefix), "-lcppad_lib"]
    else:
        if not (prefix / "include/adept.h").exists():
            source = clone("Adept-2")
            shell(["autoreconf", "-i"], log, cwd=source)
            shell(["./configure", f"--prefix={prefix}", "--disable-openmp",
                   "CXXFLAGS=-O3 -march=native"], log, cwd=source)
            for part in ("adept", "include"):
                shell(["make", "-C", source / part, "install"], log)
        flags = [*libraries(prefix), "-ladept"]
    (place / "bin").mkdir(exist_ok=True)
    shell(["c++", "-o", "bin/lstm", "lstm.cpp", "-std=c++17", "-O3", "-march=native",
           "-I../../cpp", *flags, "-lm"], log, cwd=place)


def libraries(prefix):
    paths = [prefix / "lib", prefix / "lib64"]
    return [f"-I{prefix}/include"] + [f"{flag}{p}" for p in paths for flag in ("-L", "-Wl,-rpath,")]


def peers(folder, tools):
    """Installs all peers that can be installed."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "install.log", "a") as log:
        steps = [(python, ())] + [(rust, (crate,)) for crate in RUST]
        steps += [(gradbench, (tool,)) for tool in tools]
        for install, arguments in steps:
            try:
                install(folder, *arguments, log)
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"  failed, see {log.name}: {error}", flush=True)


def absent(folder, tools):
    """The names of the peers that are not in the folder."""
    places = {"the Python peers": "venv/bin/python"}
    places |= {program: f"rust/release/{program}" for program in RUST.values()}
    places |= {f"GradBench {t}": f"gradbench/gradbench/tools/{t}/bin/lstm" for t in tools}
    return [name for name, place in places.items() if not (folder / place).exists()]


def ours():
    """Builds this library's side; returns the paths of its two commands."""
    if not shutil.which("cargo"):
        sys.exit("cargo is needed: install Rust 1.89 or later")
    command = ["cargo", "build", "--release", "--locked", "--message-format=json",
               "--example", "peer", "--example", "gradbench"]
    # The default of cargo, which a program that embeds the library has.
    environment = os.environ | {"CARGO_PROFILE_RELEASE_LTO": "false"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, check=True,
                          stdout=subprocess.PIPE, text=True)
    built = [json.loads(line) for line in done.stdout.splitlines()]
    found = {m["target"]["name"]: m["executable"] for m in built if m.get("executable")}
    return found["peer"], found["gradbench"]
