//! The loss, gradients and Hessian products of PyTorch, which `libraries.py` wrote, are those of fresh test vectors.

use bptt::data::Arrays;
use bptt_testing::vectors::{Layout, Vectors};
use bptt_testing::{Answer, Cases, Precision, Quantity, with_start_inputs};

use crate::library;

#[test]
fn pytorch_agrees() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/pytorch.npz");
    let answers = Arrays::read(path).unwrap();
    for name in ["rnn", "lstm", "gru_reset_after"] {
        let recurrence = with_start_inputs(&library(name)).0;
        let vectors = Vectors::draw(&Cases::new(&recurrence), 2, 1, Layout::Pytorch).unwrap();
        for vector in vectors.iter() {
            let begin = format!("{name}/{}/", vector.index());
            let mut answer = Answer::new();
            for (path, array) in answers.iter() {
                let Some(path) = path.strip_prefix(&begin) else {
                    continue;
                };
                let array = array.real::<f64>();
                let (quantity, of) = path.split_once('/').unwrap_or((path, "loss"));
                let quantity = Quantity::ALL.into_iter().find(|q| q.name() == quantity);
                answer = answer.with(quantity.unwrap(), of, array);
            }
            vector.check(&answer, Precision::F64).unwrap();
            let second = answer
                .iter()
                .filter(|(q, ..)| *q == Quantity::HessianVector);
            let [params, starts] = ["params/", "inputs/h_0"].map(|begin| {
                let paths = vector.arrays().filter(|(p, _)| p.starts_with(begin));
                paths.count()
            });
            assert!(second.count() > params + starts, "parameters, starts and x");
        }
    }
}
