"""The results as a page of Markdown."""
import shlex
import subprocess

from direct import LARGE, SMALL
from laws import LAWS, TRIALS, arguments
from libraries import HERE, LIBRARIES

INTRO = """# Other libraries

[`bptt certify`](property-tests.md) compares a program in any language with a recurrence. This page holds the recurrent layers of other
libraries to ten laws with it. `benches/peers/laws/run` installs the libraries, runs everything, and writes this page; run
again after an upgrade, it shows what has changed.

A mark says what the commands of this page print for these versions on one machine of two cores. It says nothing about speed, for which there is [another page](benchmarks.md), nor about layers and options that are not named here.
"""

KEY = """✓ the law holds. ✗ it does not, see [below](#where-a-law-does-not-hold). – it does not apply: the library offers no such
computation, as each section says. A mark stands for f32 and f64 unless it names one.
"""


# More words on laws that do not hold, by package and law.
NOTES = {
    ("jax", "threads"): " In the LSTM it is the gradients of the biases that differ: XLA splits a sum over the samples among its threads, and other "
                        "splits have other rounding errors. For a fixed number of threads the bits repeat.",
}


def mark(outcome):
    if "reason" in outcome:
        return "–"
    return "✓" if outcome["held"] else "✗"


def sizes(size):
    return ", ".join(f"{name} = {n}" for name, n in size.items())


def entry(outcomes):
    """The marks of all number types as one."""
    marks = {dtype: mark(outcome) for dtype, outcome in outcomes.items()}
    if len(set(marks.values())) == 1:
        return next(iter(marks.values()))
    return ", ".join(f"{m} {dtype}" for dtype, m in marks.items() if m != "–")


def figure(outcome):
    """The largest relative error of a law, or its mark."""
    if "reason" in outcome:
        return "–"
    if "error" not in outcome:
        return "✗"
    text = f"{outcome['error']:.0e}" if outcome["error"] else "0"
    if outcome.get("alone"):
        text += f", alone {outcome['alone']:.0e}"
    return text if outcome["held"] else f"✗ {text}"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def summary(results):
    head = ["library", "layer", "recurrence", *(law.title for law in LAWS)]
    rows = []
    for library, cell, found in measured(results):
        rows.append([library.name, f"`{library.cells[cell]}`", f"`{cell}`",
                     *(entry(found[law.key]) for law in LAWS)])
    return table(head, rows)


def measured(results):
    for library in LIBRARIES:
        for cell, found in results.get(library.name, {}).get("cells", {}).items():
            yield library, cell, found


def shown(words):
    """A command as it is typed in the folder of the adapters."""
    return shlex.join(["bptt", *words])


def section(library, result):
    """The conventions, the command and the figures of a library."""
    text = f"## {library.name}\n\n{result['version']}.\n\n"
    text += "".join(f"- {convention}\n" for convention in library.conventions)
    cells = result["cells"]
    cell = list(cells)[min(1, len(cells) - 1)]
    more = library.lengths or ""
    law = next(law for law in LAWS if law.key == ("packed" if library.lengths is not None else "masked"))
    words = arguments(law, library, cell, library.dtypes[-1 if not library.forward_only else 0], "PEERS")
    text += f"\n```sh\n{shown(words)}\n```\n\n".replace(f" {more} ", f" {more} ")
    head = ["largest relative error", *(law.title for law in LAWS)]
    rows = []
    for cell, found in cells.items():
        for dtype in library.dtypes:
            figures = [figure(found[law.key][dtype]) for law in LAWS]
            if set(figures) != {"–"}:
                rows.append([f"`{cell}` {dtype}", *figures])
    text += table(head, rows)
    reasons = {}
    for found in cells.values():
        for law in LAWS:
            for dtype, outcome in found[law.key].items():
                if "reason" in outcome:
                    place = reasons.setdefault(outcome["reason"], {})
                    place.setdefault(law.title, set()).add(dtype)
    if reasons:
        text += "\n"
    for reason, laws in reasons.items():
        all_dtypes = set(library.dtypes)
        titles = [title + ("" if dtypes == all_dtypes else f" ({', '.join(sorted(dtypes))})")
                  for title, dtypes in laws.items()]
        text += f"- – in {', '.join(titles)}: {reason}.\n"
    return text + "\n"


def small(name, peers):
    """A small program that shows a case, with what it prints."""
    path = HERE / "small" / f"{name}.py"
    if not path.exists():
        return ""
    done = subprocess.run([peers / "venv/bin/python", path], capture_output=True, text=True)
    said = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
    return f"\nSmaller:\n\n```python\n{path.read_text().strip()}\n```\n\nprints\n\n```text\n{said}\n```\n"


def failures(results, peers):
    """One part for each law of a library that does not hold."""
    parts = {}
    for library, cell, found in measured(results):
        for law in LAWS:
            for dtype, outcome in found[law.key].items():
                if mark(outcome) == "✗":
                    parts.setdefault((library.name, law.key), []).append((cell, dtype, outcome))
    if not parts:
        return "Every law holds wherever it applies.\n"
    text, shown_at = "", {}
    for (name, key), places in parts.items():
        law = next(law for law in LAWS if law.key == key)
        library = next(one for one in LIBRARIES if one.name == name)
        where = ", ".join(dict.fromkeys(f"`{cell}`" for cell, _, _ in places))
        where += " in " + " and ".join(dict.fromkeys(dtype for _, dtype, _ in places))
        text += f"### {name}: {law.title}\n\n{where}.\n"
        cell, dtype, outcome = places[0]
        if "words" in outcome:
            words = arguments(law, library, cell, dtype, "PEERS")
            said = outcome.get("text") or outcome["message"]
            text += f"\n```sh\n{shown(words)}\n```\n\n```text\n{said.strip()}\n```\n"
        elif "alone" in outcome:
            text += (f"\nThe largest relative difference is {outcome['error']:.0e} with other samples beside it, and "
                     f"{outcome['alone']:.0e} alone.\n")
        else:
            largest = {}
            for _, dtype, outcome in places:
                largest[dtype] = max(largest.get(dtype, 0), outcome["error"])
            text += ("\nThe numbers agree up to rounding: the largest difference, relative to the largest entry of its array, is "
                     + ", ".join(f"{error:.0e} in {dtype}" for dtype, error in largest.items())
                     + f" for {sizes(LARGE)}.{NOTES.get((library.packages[-1], key), '')}\n")
        case = f"{library.packages[-1]}_{key}"
        text += (f"\nThe smaller program is that of {shown_at[case]}.\n" if case in shown_at
                 else small(case, peers)) + "\n"
        shown_at.setdefault(case, name)
    return text


def markdown(results, peers):
    text = INTRO + "\n" + summary(results) + "\n" + KEY
    text += "\n## The laws\n\n"
    text += "".join(f"- **{law.title}**: {law.meaning}.\n" for law in LAWS)
    text += f"""
Steps, samples, inputs, states and outputs are T, B, K, H and O: {sizes(SMALL)} for *batch*, {sizes(LARGE)} for *repeated*
and *threads*. All other laws are runs of `bptt certify` with at least {TRIALS} cases each: sizes, lengths and numbers are random, and
`bptt` bounds the rounding error of each array. The errors below are relative to the largest entry of an array. The
readout and the loss are part of each recurrence; the adapters compute them with the library's own functions where it
has them.

## The commands

    benches/peers/laws/run                        # everything, into this page
    benches/peers/laws/run --libraries torch      # one library, into the earlier results

A single law is one command in the folder `benches/peers/laws`, where `PEERS` is the folder of the installed libraries,
`target/peers`; each section shows one. The adapters are short programs in that folder and in `benches/peers/rust`.

"""
    for library in LIBRARIES:
        result = results.get(library.name)
        if result and result["cells"]:
            text += section(library, result)
        else:
            text += f"## {library.name}\n\nNot run.\n\n"
    return text + "## Where a law does not hold\n\n" + failures(results, peers).rstrip() + "\n"
