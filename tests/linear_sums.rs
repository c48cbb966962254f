//! What stands before a sum over steps comes to stand inside it: a sign, a transpose.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bptt::Recurrence;
use bptt::derive::{Rewrite, Site, Step, Term, Time};

#[test]
fn signs_and_transposes_move_into_sums() {
    let source = "
dim H
input x[H], y[H]
param A[H, H]
state h[H]
h' = tanh(A @ h + x)
loss 0.5 * sum((h' - y)^2)
";
    let derivation = Recurrence::parse("m", source).unwrap().derive().unwrap();
    let h = || Box::new(Term::Value("h".into(), Some(Time::var('t'))));
    let sum = |body: Box<Term>| Term::Sum('t', Time::at(1), Time::last(), body);
    for form in [Term::Neg, Term::T] {
        let (outside, inside) = (form(Box::new(sum(h()))), sum(Box::new(form(h()))));
        let rewrite = Rewrite::SumOut;
        let step = Step::new(rewrite.rule(), Site::Line(rewrite), outside, inside);
        derivation.replay(&step).unwrap();
    }
}
