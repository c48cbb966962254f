//! A formula is rendered consistently in LaTeX, text and `MathML`.

use bptt::render::{Accent, Big, Charset, Dialect, Fence, Math, Sign};

fn delta(of: &str, at: Math) -> Math {
    Math::ident("delta").with_sup(Math::ident(of)).with_sub(at)
}

fn after() -> Math {
    Math::row([Math::ident("t"), Math::Sign(Sign::Plus), Math::number(1)])
}

fn weight() -> Math {
    Math::ident("W").with_sub(Math::ident("H"))
}

#[test]
fn a_recursion() {
    let right = Math::row([
        Math::row([weight().transposed(), delta("a", after())]),
        Math::Sign(Sign::Hadamard),
        Math::ident("v").with_sub(Math::ident("t")),
    ]);
    let line = Math::relation(delta("h", Math::ident("t")), Sign::Equal, right);
    assert_eq!(
        line.latex(Dialect::Plain),
        r"\delta^{h}_{t}=W_{H}^{\top}\delta^{a}_{t+1}\odot v_{t}"
    );
    assert_eq!(line.text(Charset::Unicode), "δʰₜ = W_Hᵀ δᵃₜ₊₁ ⊙ vₜ");
    assert_eq!(
        line.text(Charset::Ascii),
        "delta^h_t = W_H^T delta^a_{t + 1} .* v_t".replace("{t + 1}", "{t+1}")
    );
    let mathml = line.mathml(true);
    assert!(mathml.contains("<msubsup><mi>δ</mi><mi>t</mi><mi>h</mi></msubsup>"));
    assert!(mathml.contains(r#"<mo lspace="0" rspace="0">+</mo>"#));
}

#[test]
fn github_has_no_operatorname() {
    let diag = Math::call(Math::upright("diag"), [Math::ident("v")]);
    assert_eq!(diag.latex(Dialect::Plain), r"\operatorname{diag}(v)");
    assert_eq!(diag.latex(Dialect::GitHub), r"\mathop{\mathrm{diag}}(v)");
}

#[test]
fn tall_things_get_tall_delimiters() {
    let sum = Math::big(
        Big::Sum,
        Math::relation(Math::ident("t"), Sign::Equal, Math::number(1)),
        Math::ident("T"),
        Math::ident("x"),
    );
    assert_eq!(
        sum.fenced(Fence::Norm).latex(Dialect::Plain),
        r"\left\lVert \sum_{t=1}^{T}x\right\rVert"
    );
    let blocks = Math::Matrix(vec![vec![Math::number(0), Math::ident("I")]]);
    assert_eq!(
        blocks.latex(Dialect::Plain),
        r"\begin{bmatrix}0&I\end{bmatrix}"
    );
    assert_eq!(blocks.text(Charset::Unicode), "[0, I]");
}

#[test]
fn a_command_never_runs_into_a_letter() {
    let row = Math::row([Math::ident("alpha"), Math::ident("x"), Math::ident("beta")]);
    assert_eq!(row.latex(Dialect::Plain), r"\alpha x\beta");
    let hat = Math::Accent(Accent::Hat, Box::new(Math::ident("omega")));
    assert_eq!(hat.latex(Dialect::Plain), r"\hat{\omega}");
}
