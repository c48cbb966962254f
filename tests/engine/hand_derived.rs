//! Published equations of backpropagation through time, written by hand, compared with the gradients of the
//! classical cells: parameters, inputs and initial states, for sequences of different lengths.
//!
//! `hand_derived/cells.rs` has the published equations, and uses no rules of this crate. They are compared with
//! the gradient as a recurrence and with reverse mode on the unrolled tape.

#[path = "hand_derived/cells.rs"]
mod hand;
mod model;

use bptt::cells::Cell;
use model::{Case, Target, case, check};
use proptest::prelude::*;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn tanh_rnn(case in case()) {
        check(&case, Cell::rnn(), Target::SquaredError, hand::tanh_rnn)?;
    }

    #[test]
    fn tanh_rnn_without_bias(case in case()) {
        check(&case, Cell::rnn().without_bias(), Target::SquaredError, hand::tanh_rnn)?;
    }

    #[test]
    fn tanh_rnn_with_softmax_cross_entropy(case in case()) {
        check(&case, Cell::rnn(), Target::SoftmaxCrossEntropy, hand::tanh_rnn)?;
    }

    #[test]
    fn relu_rnn(case in case()) {
        check(&case, Cell::relu_rnn(), Target::SquaredError, hand::relu_rnn)?;
    }

    #[test]
    fn relu_rnn_without_bias(case in case()) {
        check(&case, Cell::relu_rnn().without_bias(), Target::SquaredError, hand::relu_rnn)?;
    }

    #[test]
    fn lstm(case in case()) {
        check(&case, Cell::lstm(), Target::SquaredError, hand::lstm)?;
    }

    #[test]
    fn peephole_lstm(case in case()) {
        check(&case, Cell::peephole_lstm(), Target::SquaredError, hand::peephole_lstm)?;
    }

    #[test]
    fn gru_reset_before(case in case()) {
        check(&case, Cell::gru_reset_before(), Target::SquaredError, hand::gru_reset_before)?;
    }

    #[test]
    fn gru_reset_after(case in case()) {
        check(&case, Cell::gru(), Target::SquaredError, hand::gru_reset_after)?;
    }
}

/// The comparison must detect an error: `h0` is changed by one part in 1e11.
#[test]
fn the_comparison_sees_a_wrong_gradient() {
    let case = Case {
        k: 2,
        h: 3,
        o: 4,
        steps: 4,
        lengths: vec![4, 2],
        seed: 7,
    };
    let tampered: hand::Backpropagation = |p, s, readout, g| {
        let start = hand::tanh_rnn(p, s, readout, g);
        hand::Start {
            h: &start.h * (1.0 + 1e-11),
            ..start
        }
    };
    let verdict = check(&case, Cell::rnn(), Target::SquaredError, tampered);
    let message = verdict
        .expect_err("a relative error of 1e-11 in h0 passed")
        .to_string();
    assert!(
        message.contains("h0"),
        "the array that is wrong is named: {message}"
    );
}
