//! The derivations of the tanh RNN, the LSTM and both GRUs agree with the textbooks: each equation of a
//! hand-written reference list is parsed, evaluated, and compared with the left side of the corresponding line,
//! measured by perturbing a run.

use bptt::cells::{Cell, Loss, Start};
use bptt::derive::{Check, Derivation, Level, Relation, compare};
use bptt::render::Dialect;

const GATES: &[(&str, &str)] = &[
    ("og", "o"),
    ("a_og", "a_o"),
    ("o", "z"),
    ("W_O", "V"),
    ("b_q", "b_z"),
];

/// The number in the reference, the id of the line, and the right side in the notation of the reference.
type Row = (&'static str, &'static str, &'static str);

/// Each row names a printed line and agrees with it.
fn agrees(derivation: &Derivation, table: &[Row]) {
    let runs = [
        derivation.instance(3).unwrap(),
        derivation.instance(4).unwrap(),
    ];
    let lexicon = derivation.lexicon();
    for (number, id, latex) in table {
        let name = derivation.name();
        let Some(line) = derivation.equation(id) else {
            panic!("{name}: {number} has no line {id}");
        };
        let right = lexicon
            .parse(latex)
            .unwrap_or_else(|e| panic!("{name}: {number}: {latex}: {e}"));
        let mut line = line.clone();
        // A conditional bound is compared with the printed bound, on any run.
        if line.given.take().is_some() {
            line.left = line.right.clone();
            line.relation = Relation::Equal;
        }
        let found = compare(&line, &line.left, &right, &runs);
        let printed = derivation.sides(&line).1.latex(Dialect::Plain);
        assert!(
            matches!(&found, Ok(Check::Passed { .. } | Check::Bound { .. })),
            "{name}: {number} ({id}): {latex}\nprinted: {printed}\n{found:?}"
        );
    }
}

/// Every line of level *normal* is in the reference, or of one of these kinds, which the reference states in
/// words, once for all gates, or in its general theorem.
fn nothing_else(derivation: &Derivation, table: &[Row], more: &[&str]) {
    for line in derivation
        .equations
        .iter()
        .filter(|e| e.level <= Level::Normal)
    {
        let listed = table.iter().any(|(_, id, _)| *id == line.id.to_string());
        let kind = more
            .iter()
            .any(|kind| line.id.to_string().starts_with(kind));
        assert!(listed || kind, "{}: {} is new", derivation.name(), line.id);
    }
}

fn model(cell: Cell, name: &str, aliases: &[(&str, &str)]) -> Derivation {
    let model = cell.start(Start::Parameter).model(name, Loss::SquaredError);
    model.unwrap().derive_with(aliases).unwrap()
}

const PAIR: &str = r"\operatorname{diag}(\mathbf{1}-h_{k}\odot h_{k})\left(\frac{\partial h_{t}}{\partial h_{k}}\right)^{\top}W_{\mathrm{O}}^{\top}\delta^{o}_{t}h_{k-1}^{\top}";

#[test]
fn the_tanh_rnn() {
    let double = format!(r"\sum_{{t=1}}^{{T}}\sum_{{k=1}}^{{t}}{PAIR}");
    let exchanged = format!(r"\sum_{{k=1}}^{{T}}\sum_{{t=k}}^{{T}}{PAIR}");
    let of_step = format!(r"\sum_{{k=1}}^{{t}}{PAIR}");
    let window = format!(
        r"\sum_{{t=1}}^{{T}}\sum_{{k=\max(1,t-\tau+1)}}^{{t}}{PAIR}+\sum_{{t=\tau+1}}^{{T}}\sum_{{k=1}}^{{t-\tau}}{PAIR}"
    );
    let rest = format!(r"\sum_{{t=\tau+1}}^{{T}}\sum_{{k=1}}^{{t-\tau}}{PAIR}");
    let chunks = format!(
        r"\sum_{{k=1}}^{{T}}\sum_{{t=k}}^{{e(k)}}{PAIR}+\sum_{{k=1}}^{{T}}\sum_{{t=e(k)+1}}^{{T}}{PAIR}"
    );
    let table: &[Row] = &[
        (
            "R1",
            "def.a",
            r"W_{\mathrm{H}}h_{t-1}+W_{\mathrm{X}}x_{t}+b_{h}",
        ),
        ("R2", "def.h", r"\tanh(a_{t})"),
        ("R3", "def.o", r"W_{\mathrm{O}}h_{t}+b_{q}"),
        (
            "R4",
            "def.loss.t",
            r"\frac{1}{2}(o_{t}-y_{t})^{\top}(o_{t}-y_{t})",
        ),
        ("R5", "def.loss", r"\sum_{t=1}^{T}L_{t}"),
        (
            "R6",
            "d.a",
            r"\mathrm{d}W_{\mathrm{H}}h_{t-1}+W_{\mathrm{H}}\mathrm{d}h_{t-1}+\mathrm{d}W_{\mathrm{X}}x_{t}+W_{\mathrm{X}}\mathrm{d}x_{t}+\mathrm{d}b_{h}",
        ),
        (
            "R7",
            "d.h",
            r"(\mathbf{1}-h_{t}\odot h_{t})\odot\mathrm{d}a_{t}",
        ),
        (
            "R8",
            "d.o",
            r"\mathrm{d}W_{\mathrm{O}}h_{t}+W_{\mathrm{O}}\mathrm{d}h_{t}+\mathrm{d}b_{q}",
        ),
        (
            "R9",
            "adj.loss.t",
            r"\langle\delta^{o}_{t},\mathrm{d}o_{t}\rangle",
        ),
        ("R9", "delta.o", r"o_{t}-y_{t}"),
        (
            "R10",
            "adj.o",
            r"\langle\delta^{o}_{t},\mathrm{d}W_{\mathrm{O}}h_{t}\rangle+\langle\delta^{o}_{t},W_{\mathrm{O}}\mathrm{d}h_{t}\rangle+\langle\delta^{o}_{t},\mathrm{d}b_{q}\rangle",
        ),
        (
            "R11",
            "adj.o",
            r"\langle\delta^{o}_{t}h_{t}^{\top},\mathrm{d}W_{\mathrm{O}}\rangle+\langle W_{\mathrm{O}}^{\top}\delta^{o}_{t},\mathrm{d}h_{t}\rangle+\langle\delta^{o}_{t},\mathrm{d}b_{q}\rangle",
        ),
        ("R12", "step.W_O", r"\delta^{o}_{t}h_{t}^{\top}"),
        (
            "R12",
            "grad.W_O",
            r"\sum_{t=1}^{T}\delta^{o}_{t}h_{t}^{\top}",
        ),
        ("R13", "grad.b_q", r"\sum_{t=1}^{T}\delta^{o}_{t}"),
        (
            "R14",
            "delta.h",
            r"W_{\mathrm{O}}^{\top}\delta^{o}_{t}+W_{\mathrm{H}}^{\top}\delta^{a}_{t+1}",
        ),
        (
            "R15",
            "delta.a",
            r"(\mathbf{1}-h_{t}\odot h_{t})\odot\delta^{h}_{t}",
        ),
        ("R16", "last.h", r"W_{\mathrm{O}}^{\top}\delta^{o}_{T}"),
        (
            "R17",
            "compact.h",
            r"W_{\mathrm{O}}^{\top}\delta^{o}_{t}+W_{\mathrm{H}}^{\top}((\mathbf{1}-h_{t+1}\odot h_{t+1})\odot\delta^{h}_{t+1})",
        ),
        (
            "R18",
            "grad.W_H",
            r"\sum_{t=1}^{T}\delta^{a}_{t}h_{t-1}^{\top}",
        ),
        (
            "R19",
            "grad.W_X",
            r"\sum_{t=1}^{T}\delta^{a}_{t}x_{t}^{\top}",
        ),
        ("R20", "grad.b_h", r"\sum_{t=1}^{T}\delta^{a}_{t}"),
        ("R21", "grad.h0", r"W_{\mathrm{H}}^{\top}\delta^{a}_{1}"),
        ("R22", "grad.x", r"W_{\mathrm{X}}^{\top}\delta^{a}_{t}"),
        (
            "R23",
            "jac.h.h",
            r"\operatorname{diag}(\mathbf{1}-h_{t}\odot h_{t})W_{\mathrm{H}}",
        ),
        (
            "R23",
            "jac.differential",
            r"J_{t}\mathrm{d}h_{t-1}+\operatorname{diag}(\mathbf{1}-h_{t}\odot h_{t})(\mathrm{d}W_{\mathrm{H}}h_{t-1}+\mathrm{d}W_{\mathrm{X}}x_{t}+W_{\mathrm{X}}\mathrm{d}x_{t}+\mathrm{d}b_{h})",
        ),
        (
            "R23",
            "jac.plus.h",
            r"\operatorname{diag}(\mathbf{1}-h_{t}\odot h_{t})(\mathrm{d}W_{\mathrm{H}}h_{t-1}+\mathrm{d}W_{\mathrm{X}}x_{t}+W_{\mathrm{X}}\mathrm{d}x_{t}+\mathrm{d}b_{h})",
        ),
        (
            "R24",
            "map.W_H",
            r"\frac{\partial^{+}h_{t}}{\partial W_{\mathrm{H}}}+\frac{\partial h_{t}}{\partial h_{t-1}}\frac{\partial h_{t-1}}{\partial W_{\mathrm{H}}}",
        ),
        (
            "R24",
            "map.immediate.W_H",
            r"h_{t-1}^{\top}\otimes\operatorname{diag}(\mathbf{1}-h_{t}\odot h_{t})",
        ),
        (
            "R25",
            "jac.product",
            r"\prod_{j=k+1}^{t}\operatorname{diag}(\mathbf{1}-h_{j}\odot h_{j})W_{\mathrm{H}}",
        ),
        (
            "R26",
            "map.sum.W_H",
            r"\sum_{k=1}^{t}\frac{\partial h_{t}}{\partial h_{k}}\frac{\partial^{+}h_{k}}{\partial W_{\mathrm{H}}}",
        ),
        (
            "R26",
            "jac.unrolled",
            r"\frac{\partial h_{t}}{\partial h_{0}}\mathrm{d}h_{0}+\sum_{k=1}^{t}\frac{\partial h_{t}}{\partial h_{k}}\operatorname{diag}(\mathbf{1}-h_{k}\odot h_{k})(\mathrm{d}W_{\mathrm{H}}h_{k-1}+\mathrm{d}W_{\mathrm{X}}x_{k}+W_{\mathrm{X}}\mathrm{d}x_{k}+\mathrm{d}b_{h})",
        ),
        ("R27", "bridge.step.W_H", leak(of_step)),
        ("R28", "bridge.double.W_H", leak(double)),
        ("R28", "bridge.exchange.W_H", leak(exchanged)),
        (
            "R28",
            "bridge.closed",
            r"\sum_{t=k}^{T}\left(\frac{\partial h_{t}}{\partial h_{k}}\right)^{\top}W_{\mathrm{O}}^{\top}\delta^{o}_{t}",
        ),
        (
            "R29",
            "bridge.recursion",
            r"W_{\mathrm{O}}^{\top}\delta^{o}_{t}+(\operatorname{diag}(\mathbf{1}-h_{t+1}\odot h_{t+1})W_{\mathrm{H}})^{\top}\delta^{h}_{t+1}",
        ),
        (
            "R29",
            "bridge.horner",
            r"W_{\mathrm{O}}^{\top}\delta^{o}_{k}+J_{k+1}^{\top}\delta^{h}_{k+1}",
        ),
        (
            "G3",
            "bridge.pairing",
            r"\langle J_{t}^{\top}\delta^{h}_{t},\mathrm{d}h_{t-1}\rangle+\langle\delta^{h}_{t},\mathrm{d}^{+}h_{t}\rangle",
        ),
        ("R30a", "window.W_H", leak(window)),
        (
            "R30b",
            "chunk.delta",
            r"W_{\mathrm{O}}^{\top}\delta^{o}_{t}+[\tau\nmid t]J_{t+1}^{\top}\hat{\delta}^{h}_{t+1}",
        ),
        (
            "R30b",
            "chunk.closed",
            r"\sum_{t=k}^{e(k)}\left(\frac{\partial h_{t}}{\partial h_{k}}\right)^{\top}W_{\mathrm{O}}^{\top}\delta^{o}_{t}",
        ),
        ("R30b", "chunk.W_H", leak(chunks)),
        ("R31", "let.R", leak(rest)),
        (
            "R32",
            "bound.product",
            r"\prod_{j=k+1}^{t}\lVert\operatorname{diag}(\mathbf{1}-h_{j}\odot h_{j})\rVert\lVert W_{\mathrm{H}}\rVert",
        ),
        (
            "R32",
            "bound.step",
            r"\lVert\operatorname{diag}(\mathbf{1}-h_{t}\odot h_{t})\rVert\lVert W_{\mathrm{H}}\rVert",
        ),
        (
            "R32",
            "let.gamma",
            r"\max_{1\le j\le T}\lVert\operatorname{diag}(\mathbf{1}-h_{j}\odot h_{j})\rVert",
        ),
        ("R32", "let.q", r"\gamma\lVert W_{\mathrm{H}}\rVert"),
        ("R32", "bound.power", r"q^{t-k}"),
        ("R33", "bound.slope", r"1"),
        (
            "R34",
            "let.mu",
            r"\min_{1\le j\le T}\sigma_{\min}(\operatorname{diag}(\mathbf{1}-h_{j}\odot h_{j}))\sigma_{\min}(W_{\mathrm{H}})",
        ),
        (
            "R34",
            "bound.least",
            r"\sigma_{\min}\left(\frac{\partial h_{t}}{\partial h_{k}}\right)",
        ),
        (
            "R35",
            "bound.delta",
            r"\sum_{t=k}^{T}q^{t-k}\lVert W_{\mathrm{O}}^{\top}\delta^{o}_{t}\rVert",
        ),
        (
            "R35",
            "let.M",
            r"\max_{1\le t\le T}\lVert W_{\mathrm{O}}^{\top}\delta^{o}_{t}\rVert",
        ),
        ("R35", "bound.delta.all", r"\frac{M}{1-q}"),
        ("R36", "let.N", r"\max_{0\le k\le T}\lVert h_{k}\rVert"),
        ("R36", "bound.state", r"\sqrt{H}"),
        (
            "R36",
            "bound.window",
            r"\frac{(T-\tau)\gamma M N q^{\tau}}{1-q}",
        ),
    ];
    let derivation = model(Cell::rnn(), "rnn", &[]);
    agrees(&derivation, table);
    let more = ["init.", "adj.", "master", "last.", "step."];
    nothing_else(&derivation, table, &more);
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// `P`, `A` and `B` of the reference at a step.
fn parts(at: &str) -> [String; 3] {
    let before = match at {
        "t" => "t-1",
        "t-1" => "t-2",
        _ => panic!("unused"),
    };
    let p = r"\operatorname{diag}(o_{@}\odot(\mathbf{1}-m_{@}\odot m_{@}))";
    let a = r"(\operatorname{diag}(c_{<}\odot f_{@}\odot(\mathbf{1}-f_{@}))U_{f}+\operatorname{diag}(g_{@}\odot i_{@}\odot(\mathbf{1}-i_{@}))U_{i}+\operatorname{diag}(i_{@}\odot(\mathbf{1}-g_{@}\odot g_{@}))U_{g})";
    let b = r"\operatorname{diag}(m_{@}\odot o_{@}\odot(\mathbf{1}-o_{@}))U_{o}";
    [p, a, b].map(|s| s.replace('@', at).replace('<', before))
}

#[test]
fn the_lstm() {
    let [p, a, b] = parts("t");
    let [p1, a1, b1] = parts("t-1");
    let p2 = p.replace("{t}", "{t-2}");
    let f = r"\operatorname{diag}(f_{t})";
    let jacobian = format!(r"\begin{{bmatrix}}{b}+{p}{a}&{p}{f}\\{a}&{f}\end{{bmatrix}}");
    let m1 = r"(\operatorname{diag}(f_{t-1})";
    let m = format!("({f}+{a}{p1})");
    let m1 = format!("{m1}+{a1}{p2})");
    let kept = r"\left(\bigodot_{j=k+1}^{t}f_{j}\right)";
    let slope = r"o_{t}\odot(\mathbf{1}-m_{t}\odot m_{t})";
    let later = r"U_{i}^{\top}\delta^{a^{i}}_{t+1}+U_{f}^{\top}\delta^{a^{f}}_{t+1}+U_{g}^{\top}\delta^{a^{g}}_{t+1}+U_{o}^{\top}\delta^{a^{o}}_{t+1}";
    let mut table: Vec<Row> = Vec::new();
    let gates = [
        (
            "i",
            r"i_{t}\odot(\mathbf{1}-i_{t})",
            r"g_{t}\odot\delta^{c}_{t}",
        ),
        (
            "f",
            r"f_{t}\odot(\mathbf{1}-f_{t})",
            r"c_{t-1}\odot\delta^{c}_{t}",
        ),
        (
            "g",
            r"\mathbf{1}-g_{t}\odot g_{t}",
            r"i_{t}\odot\delta^{c}_{t}",
        ),
        (
            "o",
            r"o_{t}\odot(\mathbf{1}-o_{t})",
            r"m_{t}\odot\delta^{h}_{t}",
        ),
    ];
    for (q, slope, sent) in gates {
        let name = if q == "o" { "og" } else { q };
        let function = if q == "g" { r"\tanh" } else { r"\sigma" };
        let mut row =
            |number, id: String, latex: String| table.push((number, leak(id), leak(latex)));
        row(
            "L1",
            format!("def.a_{name}"),
            format!("W_{{{q}}}x_{{t}}+U_{{{q}}}h_{{t-1}}+b_{{{q}}}"),
        );
        row(
            "L2",
            format!("def.{name}"),
            format!("{function}(a^{{{q}}}_{{t}})"),
        );
        row(
            "L7",
            format!("d.a_{name}"),
            format!(
                r"\mathrm{{d}}W_{{{q}}}x_{{t}}+W_{{{q}}}\mathrm{{d}}x_{{t}}+\mathrm{{d}}U_{{{q}}}h_{{t-1}}+U_{{{q}}}\mathrm{{d}}h_{{t-1}}+\mathrm{{d}}b_{{{q}}}"
            ),
        );
        row(
            "L8",
            format!("d.{name}"),
            format!(r"({slope})\odot\mathrm{{d}}a^{{{q}}}_{{t}}"),
        );
        row(
            if q == "o" { "L14" } else { "L17" },
            format!("delta.{name}"),
            sent.into(),
        );
        row(
            "L18",
            format!("delta.a_{name}"),
            format!(r"({slope})\odot\delta^{{{q}}}_{{t}}"),
        );
        row(
            "L25",
            format!("compact.a_{name}"),
            format!(r"({slope})\odot {sent}"),
        );
        row(
            "L20",
            format!("grad.W_{q}"),
            format!(r"\sum_{{t=1}}^{{T}}\delta^{{a^{{{q}}}}}_{{t}}x_{{t}}^{{\top}}"),
        );
        row(
            "L20",
            format!("grad.U_{q}"),
            format!(r"\sum_{{t=1}}^{{T}}\delta^{{a^{{{q}}}}}_{{t}}h_{{t-1}}^{{\top}}"),
        );
        row(
            "L20",
            format!("grad.b_{q}"),
            format!(r"\sum_{{t=1}}^{{T}}\delta^{{a^{{{q}}}}}_{{t}}"),
        );
    }
    let stack = |f: &dyn Fn(&str) -> String| {
        let rows: Vec<String> = ["i", "f", "g", "o"].iter().map(|q| f(q)).collect();
        format!(r"\begin{{bmatrix}}{}\end{{bmatrix}}", rows.join(r"\\"))
    };
    let theta = stack(&|q| format!("W_{{{q}}}&U_{{{q}}}&b_{{{q}}}"));
    let all_u = stack(&|q| format!("U_{{{q}}}"));
    let fixed: Vec<(&str, &str, String)> = vec![
        ("L3", "def.c", r"f_{t}\odot c_{t-1}+i_{t}\odot g_{t}".into()),
        ("L4", "def.m", r"\tanh(c_{t})".into()),
        ("L5", "def.h", r"o_{t}\odot m_{t}".into()),
        ("L6", "def.o", r"Vh_{t}+b_{z}".into()),
        ("L6", "def.loss", r"\sum_{t=1}^{T}L_{t}".into()),
        ("L6", "delta.o", r"z_{t}-y_{t}".into()),
        ("L9", "d.c", r"c_{t-1}\odot\mathrm{d}f_{t}+f_{t}\odot\mathrm{d}c_{t-1}+g_{t}\odot\mathrm{d}i_{t}+i_{t}\odot\mathrm{d}g_{t}".into()),
        ("L10", "d.m", r"(\mathbf{1}-m_{t}\odot m_{t})\odot\mathrm{d}c_{t}".into()),
        ("L11", "d.h", r"m_{t}\odot\mathrm{d}o_{t}+o_{t}\odot\mathrm{d}m_{t}".into()),
        ("L12", "adj.loss.t", r"\langle\delta^{z}_{t},\mathrm{d}Vh_{t}+V\mathrm{d}h_{t}+\mathrm{d}b_{z}\rangle".into()),
        ("L13", "delta.h", format!(r"V^{{\top}}\delta^{{z}}_{{t}}+{later}")),
        ("L15", "delta.m", r"o_{t}\odot\delta^{h}_{t}".into()),
        ("L16", "delta.c", r"(\mathbf{1}-m_{t}\odot m_{t})\odot\delta^{m}_{t}+f_{t+1}\odot\delta^{c}_{t+1}".into()),
        ("L16", "compact.c", format!(r"{slope}\odot\delta^{{h}}_{{t}}+f_{{t+1}}\odot\delta^{{c}}_{{t+1}}")),
        ("L19", "last.h", r"V^{\top}\delta^{z}_{T}".into()),
        ("L19", "last.c", r"(\mathbf{1}-m_{T}\odot m_{T})\odot\delta^{m}_{T}".into()),
        ("L21", "grad.W_O", r"\sum_{t=1}^{T}\delta^{z}_{t}h_{t}^{\top}".into()),
        ("L21", "grad.b_q", r"\sum_{t=1}^{T}\delta^{z}_{t}".into()),
        ("L22", "grad.x", r"W_{i}^{\top}\delta^{a^{i}}_{t}+W_{f}^{\top}\delta^{a^{f}}_{t}+W_{g}^{\top}\delta^{a^{g}}_{t}+W_{o}^{\top}\delta^{a^{o}}_{t}".into()),
        ("L23", "grad.h0", r"U_{i}^{\top}\delta^{a^{i}}_{1}+U_{f}^{\top}\delta^{a^{f}}_{1}+U_{g}^{\top}\delta^{a^{g}}_{1}+U_{o}^{\top}\delta^{a^{o}}_{1}".into()),
        ("L23", "grad.c0", r"f_{1}\odot\delta^{c}_{1}".into()),
        ("L24", "stack.value", format!(r"{theta}\begin{{bmatrix}}x_{{t}}\\h_{{t-1}}\\1\end{{bmatrix}}")),
        ("L24", "let.Theta", theta.clone()),
        ("L24", "let.xi", r"\begin{bmatrix}x_{t}\\h_{t-1}\\1\end{bmatrix}".into()),
        ("L24", "let.a", stack(&|q| format!("a^{{{q}}}_{{t}}"))),
        ("L25", "stack.delta", r"\begin{bmatrix}g_{t}\odot i_{t}\odot(\mathbf{1}-i_{t})\odot\delta^{c}_{t}\\c_{t-1}\odot f_{t}\odot(\mathbf{1}-f_{t})\odot\delta^{c}_{t}\\i_{t}\odot(\mathbf{1}-g_{t}\odot g_{t})\odot\delta^{c}_{t}\\m_{t}\odot o_{t}\odot(\mathbf{1}-o_{t})\odot\delta^{h}_{t}\end{bmatrix}".into()),
        ("L26", "stacked.delta.h", format!(r"V^{{\top}}\delta^{{z}}_{{t}}+{all_u}^{{\top}}\delta^{{a}}_{{t+1}}")),
        ("L27", "stack.grad", r"\sum_{t=1}^{T}\delta^{a}_{t}\begin{bmatrix}x_{t}\\h_{t-1}\\1\end{bmatrix}^{\top}".into()),
        ("L28", "jac", jacobian),
        ("L28", "jac.h.h", format!("{b}+{p}{a}")),
        ("L28", "jac.h.c", format!("{p}{f}")),
        ("L28", "jac.c.h", a.clone()),
        ("L28", "jac.differential", r"J_{t}\begin{bmatrix}\mathrm{d}h_{t-1}\\\mathrm{d}c_{t-1}\end{bmatrix}+\begin{bmatrix}\mathrm{d}^{+}h_{t}\\\mathrm{d}^{+}c_{t}\end{bmatrix}".into()),
        ("L29", "jac.product", r"\prod_{j=k+1}^{t}J_{j}".into()),
        ("L30", "costate.c", format!(r"f_{{t+1}}\odot\delta^{{c}}_{{t+1}}+{p}\delta^{{h}}_{{t}}")),
        ("L30", "costate.h", r"\lambda^{h}_{t}".into()),
        ("L30", "costate", r"\begin{bmatrix}V^{\top}\delta^{z}_{t}\\0\end{bmatrix}+J_{t+1}^{\top}\begin{bmatrix}\delta^{h}_{t+1}\\f_{t+2}\odot\delta^{c}_{t+2}\end{bmatrix}".into()),
        ("G3", "costate.pairing", r"\left\langle J_{t}^{\top}\begin{bmatrix}\delta^{h}_{t}\\f_{t+1}\odot\delta^{c}_{t+1}\end{bmatrix},\begin{bmatrix}\mathrm{d}h_{t-1}\\\mathrm{d}c_{t-1}\end{bmatrix}\right\rangle+\left\langle\begin{bmatrix}\delta^{h}_{t}\\f_{t+1}\odot\delta^{c}_{t+1}\end{bmatrix},\begin{bmatrix}\mathrm{d}^{+}h_{t}\\\mathrm{d}^{+}c_{t}\end{bmatrix}\right\rangle".into()),
        ("G6", "costate.closed", r"\sum_{t=k}^{T}\left(\prod_{j=k+1}^{t}J_{j}\right)^{\top}\begin{bmatrix}V^{\top}\delta^{z}_{t}\\0\end{bmatrix}".into()),
        ("L30", "costate.start", r"J_{1}^{\top}\begin{bmatrix}\delta^{h}_{1}\\f_{2}\odot\delta^{c}_{2}\end{bmatrix}".into()),
        ("L31", "jac.c.c", f.into()),
        ("L32", "total.c", m.clone()),
        ("L32", "within.h.c", p.clone()),
        ("L33", "many.c", format!(r"\left(\prod_{{j=k+1}}^{{t}}J_{{j}}\right)\begin{{bmatrix}}{}\\\mathbf{{I}}\end{{bmatrix}}", p.replace("{t}", "{k}"))),
        ("L33", "two.c", format!("{m}{m1}+{a}{b1}{p2}")),
        ("L34", "carousel.c", format!(r"\left(\bigodot_{{j=1}}^{{t}}f_{{j}}\right)\odot c_{{0}}+\sum_{{k=1}}^{{t}}{kept}\odot i_{{k}}\odot g_{{k}}")),
        ("L35", "carousel.delta.c", format!(r"\sum_{{t=k}}^{{T}}{kept}\odot {slope}\odot\delta^{{h}}_{{t}}")),
        ("L36", "carousel.norm.c", format!(r"\left\lVert {kept}\right\rVert_{{\infty}}")),
        ("L36", "carousel.bound.c", "1".into()),
        ("L37", "bound.total.c", r"\lVert f_{t}\rVert_{\infty}+\frac{1}{4}\lVert c_{t-1}\rVert_{\infty}\lVert U_{f}\rVert+\frac{1}{4}\lVert U_{i}\rVert+\lVert U_{g}\rVert".into()),
        ("L38", "bound.joint", format!(r"\sqrt{{2}}\sqrt{{\lVert {a}\rVert^{{2}}+\lVert {f}\rVert^{{2}}}}+\frac{{1}}{{4}}\lVert U_{{o}}\rVert")),
        ("L39", "carousel.cut.c", format!(r"\sum_{{t=k}}^{{T}}{kept}\odot {slope}\odot V^{{\top}}\delta^{{z}}_{{t}}+\sum_{{t=k}}^{{T}}{kept}\odot {slope}\odot({later})")),
    ];
    table.extend(fixed.into_iter().map(|(n, id, latex)| (n, id, leak(latex))));
    let derivation = model(Cell::lstm(), "lstm", GATES);
    agrees(&derivation, &table);
    let more = [
        "init.",
        "adj.",
        "master",
        "step.",
        "def.loss.t",
        "d.o",
        "compact.",
        "stacked.",
        "jac.plus.",
        "jac.unrolled",
        "bound.",
        "let.q",
    ];
    nothing_else(&derivation, &table, &more);
}

#[test]
fn both_grus() {
    let shared: &[Row] = &[
        (
            "def",
            "def.h",
            r"(\mathbf{1}-z_{t})\odot n_{t}+z_{t}\odot h_{t-1}",
        ),
        ("δn", "delta.n", r"(\mathbf{1}-z_{t})\odot\delta^{h}_{t}"),
        ("δz", "delta.z", r"(h_{t-1}-n_{t})\odot\delta^{h}_{t}"),
        (
            "δan",
            "delta.a_n",
            r"(\mathbf{1}-n_{t}\odot n_{t})\odot\delta^{n}_{t}",
        ),
        (
            "δaz",
            "delta.a_z",
            r"z_{t}\odot(\mathbf{1}-z_{t})\odot\delta^{z}_{t}",
        ),
        (
            "δar",
            "delta.a_r",
            r"r_{t}\odot(\mathbf{1}-r_{t})\odot\delta^{r}_{t}",
        ),
    ];
    let through = r"W_{\mathrm{O}}^{\top}\delta^{o}_{t}+z_{t+1}\odot\delta^{h}_{t+1}+U_{z}^{\top}\delta^{a^{z}}_{t+1}+U_{r}^{\top}\delta^{a^{r}}_{t+1}";
    let after: &[Row] = &[
        ("u", "def.u", r"U_{n}h_{t-1}+b_{u}"),
        ("an", "def.a_n", r"W_{n}x_{t}+b_{n}+r_{t}\odot u_{t}"),
        ("δu", "delta.u", r"r_{t}\odot\delta^{a^{n}}_{t}"),
        ("δr", "delta.r", r"u_{t}\odot\delta^{a^{n}}_{t}"),
        (
            "Un",
            "grad.U_n",
            r"\sum_{t=1}^{T}\delta^{u}_{t}h_{t-1}^{\top}",
        ),
        ("bu", "grad.b_u", r"\sum_{t=1}^{T}\delta^{u}_{t}"),
        (
            "δh",
            "delta.h",
            leak(format!(r"{through}+U_{{n}}^{{\top}}\delta^{{u}}_{{t+1}}")),
        ),
    ];
    let before: &[Row] = &[
        ("u", "def.u", r"r_{t}\odot h_{t-1}"),
        ("an", "def.a_n", r"W_{n}x_{t}+U_{n}u_{t}+b_{n}"),
        ("δu", "delta.u", r"U_{n}^{\top}\delta^{a^{n}}_{t}"),
        ("δr", "delta.r", r"h_{t-1}\odot\delta^{u}_{t}"),
        (
            "Un",
            "grad.U_n",
            r"\sum_{t=1}^{T}\delta^{a^{n}}_{t}u_{t}^{\top}",
        ),
        (
            "δh",
            "delta.h",
            leak(format!(r"{through}+r_{{t+1}}\odot\delta^{{u}}_{{t+1}}")),
        ),
    ];
    for (cell, name, own) in [
        (Cell::gru(), "gru", after),
        (Cell::gru_reset_before(), "gru reset before", before),
    ] {
        let derivation = model(cell, name, &[]);
        agrees(&derivation, shared);
        agrees(&derivation, own);
    }
}

#[test]
fn an_lstm_with_peepholes() {
    let derivation = model(Cell::peephole_lstm(), "peephole lstm", GATES);
    let table: &[Row] = &[
        (
            "δc",
            "delta.c",
            r"o_{t}\odot(\mathbf{1}-m_{t}\odot m_{t})\odot\delta^{h}_{t}+p_{o}\odot\delta^{a^{o}}_{t}+p_{i}\odot\delta^{a^{i}}_{t+1}+p_{f}\odot\delta^{a^{f}}_{t+1}+f_{t+1}\odot\delta^{c}_{t+1}",
        ),
        (
            "pi",
            "grad.p_i",
            r"\sum_{t=1}^{T}\delta^{a^{i}}_{t}\odot c_{t-1}",
        ),
        (
            "po",
            "grad.p_o",
            r"\sum_{t=1}^{T}\delta^{a^{o}}_{t}\odot c_{t}",
        ),
        (
            "c0",
            "grad.c0",
            r"f_{1}\odot\delta^{c}_{1}+p_{i}\odot\delta^{a^{i}}_{1}+p_{f}\odot\delta^{a^{f}}_{1}",
        ),
    ];
    agrees(&derivation, table);
}
