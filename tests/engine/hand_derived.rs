//! Published equations of backpropagation through time, written by hand, compared with the gradients of the
//! classical cells: parameters, inputs and initial states, for sequences of different lengths.
//!
//! `hand_derived/cells.rs` has the published equations, and uses no rules of this crate.

#[path = "hand_derived/cells.rs"]
mod hand;
mod model;

use bptt::cells::{Cell, Loss};
use hand::Backpropagation;
use model::certificates;

/// Checks that the equations by hand, the compiled engine, the reference interpreter and reverse mode on the unrolled tape
/// give the gradient of the cell as a recurrence.
#[track_caller]
fn agree(cell: Cell, loss: Loss, hand: Backpropagation) {
    for certificate in certificates(cell, loss, hand) {
        assert!(certificate.passed(), "{certificate}");
    }
}

#[test]
fn tanh_rnn() {
    agree(Cell::rnn(), Loss::SquaredError, hand::tanh_rnn);
}

#[test]
fn tanh_rnn_without_bias() {
    agree(
        Cell::rnn().without_bias(),
        Loss::SquaredError,
        hand::tanh_rnn,
    );
}

#[test]
fn tanh_rnn_with_softmax_cross_entropy() {
    agree(Cell::rnn(), Loss::SoftmaxCrossEntropy, hand::tanh_rnn);
}

#[test]
fn relu_rnn() {
    agree(Cell::relu_rnn(), Loss::SquaredError, hand::relu_rnn);
}

#[test]
fn relu_rnn_without_bias() {
    agree(
        Cell::relu_rnn().without_bias(),
        Loss::SquaredError,
        hand::relu_rnn,
    );
}

#[test]
fn lstm() {
    agree(Cell::lstm(), Loss::SquaredError, hand::lstm);
}

#[test]
fn peephole_lstm() {
    agree(
        Cell::peephole_lstm(),
        Loss::SquaredError,
        hand::peephole_lstm,
    );
}

#[test]
fn gru_reset_before() {
    agree(
        Cell::gru_reset_before(),
        Loss::SquaredError,
        hand::gru_reset_before,
    );
}

#[test]
fn gru_reset_after() {
    agree(Cell::gru(), Loss::SquaredError, hand::gru_reset_after);
}
