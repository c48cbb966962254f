"""The results as tables in Markdown."""
import memory
from cases import BY_HAND_MUST, GROWTH_MUST, MEMORY_MUST, TWO_THREADS_MUST
from competitors import BY_HAND, OURS

HEAD = """# Benchmarks

This file is written by `benches/peers/run`, which installs the peers, checks that all competitors
compute the same numbers on each case, times them in turn and compares. Run it to get the same tables
for another machine; [benches/peers](../benches/peers/README.md) says what is timed.

"""


def duration(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns / 1e3:.3g} µs"


def reached(yes):
    return "yes" if yes else "**no**"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def best_peer(times):
    """Name and time of the fastest other competitor, or None."""
    peers = {n: t for n, t in times.items() if n not in (OURS, BY_HAND)}
    return min(peers.items(), key=lambda item: item[1], default=None)


def case_row(case, found, peak):
    """A line of the table, and True if the case reached its requirements."""
    times = found["median_ns"]
    mine, best = times.get(OURS), best_peer(times)
    cells = [f"{case.cell} ({case.T}, {case.B}, {case.K}, {case.H})"]
    cells += [f"{best[0]} {duration(best[1])}" if best else "none"]
    cells += [duration(mine) if mine else found["notes"].get(OURS, "not run")]
    ratio = best[1] / mine if best and mine else None
    cells += [f"{ratio:.2f}×" if ratio else "", f"≥ {case.must:g}×"]
    ok = ratio is not None and ratio >= case.must and not found["disagree"]
    share = ""
    if case.flops and mine and peak:
        fraction = case.flops / mine / peak[str(case.threads)][case.dtype]
        share = f"{100 * fraction:.0f} %"
        if case.peak:
            share += f" (≥ {100 * case.peak:.0f} %)"
            ok = ok and fraction >= case.peak
    others = sorted(times.items(), key=lambda item: item[1])
    others = [f"{n} {t / mine:.3g}" for n, t in others if mine and n not in (OURS, BY_HAND)]
    if found["disagree"]:
        others.append("**disagree: " + ", ".join(found["disagree"]) + "**")
    return cells + [reached(ok), share, ", ".join(others)], ok


def isa_tables(cases, results):
    """The cases on one instruction set each: ratios alone, since the targets are for the whole machine."""
    text = ""
    for isa, found in results.items():
        for group in dict.fromkeys(case.group for case in cases):
            rows = []
            for case in (c for c in cases if c.group == group and c.id in found):
                row, _ = case_row(case, found[case.id], None)
                rows.append(row[:4] + row[7:])
            if rows:
                text += f"\n## Gradient, {group}, {isa} only\n\n" + table(
                    ["cell (T, B, K, H)", "best peer", "bptt", "bptt faster", "time over bptt's"], rows)
    return text


def case_tables(cases, results, peak):
    text, score = "", []
    for group in dict.fromkeys(case.group for case in cases):
        rows = []
        for case in (c for c in cases if c.group == group and c.id in results):
            row, ok = case_row(case, results[case.id], peak)
            rows.append(row)
            score.append(ok)
        if rows:
            text += f"\n## Gradient, {group}\n\n" + table(
                ["cell (T, B, K, H)", "best peer", "bptt", "bptt faster", "must reach", "reached",
                 "of FMA peak", "time over bptt's"], rows)
    return text, score


def own_tables(cases, results):
    """Two threads against one, and the LSTM by hand against the built-in one."""
    text, score = "", []
    time = lambda key, name=OURS: results.get(key, {}).get("median_ns", {}).get(name)
    rows = []
    for case in (c for c in cases if c.threads == 2):
        one, two = time(case.on(1)), time(case.id)
        if one and two:
            ok = one / two >= TWO_THREADS_MUST
            score.append(ok)
            rows.append([f"{case.cell} ({case.T}, {case.B}, {case.K}, {case.H})", duration(one),
                         duration(two), f"{one / two:.2f}×", f"≥ {TWO_THREADS_MUST}×", reached(ok)])
    if rows:
        text += "\n## Two threads against one\n\n" + table(
            ["case", "1 thread", "2 threads", "faster", "must reach", "reached"], rows)
    rows = []
    for case in cases:
        built_in, by_hand = time(case.id), time(case.id, BY_HAND)
        if built_in and by_hand:
            ok = abs(by_hand / built_in - 1) <= BY_HAND_MUST
            score.append(ok)
            rows.append([f"({case.T}, {case.B}, {case.K}, {case.H})", duration(built_in),
                         duration(by_hand), f"{100 * (by_hand / built_in - 1):+.1f} %",
                         f"± {100 * BY_HAND_MUST:.0f} %", reached(ok)])
    if rows:
        text += "\n## An LSTM written by hand against the built-in one\n\n" + table(
            ["(T, B, K, H)", "built-in", "by hand", "difference", "must reach", "reached"], rows)
    return text, score


def memory_tables(found):
    """Peak memory, and how memory and time grow with T."""
    if not found:
        return "", []
    score, rows = [], []
    for name, steps in found.items():
        point = steps.get(memory.LONG, {})
        cell = f"{point['mb']:.0f} MB" if "mb" in point else point.get("note", "not run")
        must = ["", ""]
        if name == OURS:
            score.append("mb" in point and point["mb"] <= MEMORY_MUST)
            must = [f"≤ {MEMORY_MUST} MB", reached(score[-1])]
        rows.append([name, cell, *must])
    text = (f"\n## Peak memory of one gradient\n\nLSTM, f32, B 32, K 64, H 128, T {memory.LONG}: "
            "over the process before it, inputs and results included.\n\n")
    text += table(["", "memory", "must reach", "reached"], rows)
    points = {t: p for t, p in found.get(OURS, {}).items() if "mb" in p}
    if len(points) > 2:
        text += "\n## Growth with T\n\nThe same LSTM; the exponent is a least-squares fit in "
        text += "logarithms.\n\n"
        rows = []
        for what, key, show in (("memory", "mb", lambda v: f"{v:.0f} MB"), ("time", "ns", duration)):
            slope = memory.exponent([(t, p[key]) for t, p in points.items() if p[key] > 0])
            score.append(slope <= GROWTH_MUST)
            rows.append([what, *(show(p[key]) for p in points.values()), f"{slope:.3f}",
                         f"≤ {GROWTH_MUST}", reached(score[-1])])
        steps = [f"T {t}" for t in points]
        text += table(["", *steps, "exponent", "must reach", "reached"], rows)
    return text, score


def gradbench_table(found):
    """Our gradient against the C++ objective, CoDiPack's gradient and Tapenade's."""
    rows, score = [], []
    for size, entry in found.items():
        jacobian, objective = entry["jacobian"], entry["objective"]
        mine = jacobian.get(OURS)
        against = (("C++ objective", objective.get("manual"), 1.0),
                   ("codipack", jacobian.get("codipack"), 2.3),
                   ("tapenade", jacobian.get("tapenade"), 4.0))
        cells, ok = [], bool(mine) and not entry["disagree"]
        for _, other, must in against:
            cells.append(f"{duration(other)} ({other / mine:.2f}×)" if mine and other else "not run")
            ok = ok and (not other or other / mine >= must)
        others = [f"{n} {t / mine:.2f}" for n, t in jacobian.items() if mine and n != OURS]
        if entry["disagree"]:
            others.append("**disagree: " + ", ".join(entry["disagree"]) + "**")
        mine = duration(mine) if mine else entry["notes"].get(OURS, "not run")
        own = objective.get(OURS)
        rows.append([size, duration(own) if own else "not run", mine, *cells, reached(ok),
                     ", ".join(others)])
        score.append(ok)
    if not rows:
        return "", []
    text = ("\n## GradBench `lstm`, f64\n\nIn brackets how many times faster the gradient of bptt "
            "is; it must be ≥ 1× the C++ objective, ≥ 2.3× CoDiPack, ≥ 4× Tapenade.\n\n")
    return text + table(["size", "bptt objective", "bptt gradient", "C++ objective", "CoDiPack",
                         "Tapenade", "reached", "gradients over bptt's"], rows), score


def noise(results):
    """The spread between the rounds of a competitor, over all cases."""
    spreads = sorted(s for found in results.values() for s in found["spread"].values() if s > 1)
    if not spreads:
        return ""
    middle, high = spreads[len(spreads) // 2], spreads[9 * len(spreads) // 10]
    return (f" Between rounds the slowest median of a competitor is {middle:.2f} times its fastest in "
            f"the middle, {high:.2f} times at the 90th percentile.")


def markdown(cases, results):
    """The whole report."""
    tables = [case_tables(cases, results["cases"], results["peak"]),
              own_tables(cases, results["cases"]), memory_tables(results["memory"]),
              gradbench_table(results["gradbench"])]
    score = [ok for _, part in tables for ok in part]
    text = HEAD + table(["", ""], [list(item) for item in results["machine"].items()])
    for threads, peak in results["peak"].items():
        text += f"\nMeasured FMA peak, {threads} thread{'s' * (int(threads) > 1)}: "
        text += f"{peak['f32']} GFLOP/s in f32, {peak['f64']} in f64.\n"
    if results["missing"]:
        text += "\nNot installed: " + ", ".join(results["missing"]) + ".\n"
    text += f"\n{sum(score)} of {len(score)} targets are reached. Times are medians; a peer three "
    text += "times slower than the best takes part in the first round only."
    text += noise(results["cases"]) + "\n"
    return text + "".join(part for part, _ in tables) + isa_tables(cases, results["isa"])
