//! The losses of a fit, and its best parameters so far.

use std::collections::VecDeque;

use bptt::{Params, Scalar};

/// The losses of a fit. Losses of minibatches are averaged over a window of steps before they are compared; if each
/// step uses all samples, the window is one step.
#[derive(Clone, Debug)]
pub(super) struct Losses<F> {
    /// The loss of the first step.
    pub(super) first: Option<f64>,
    /// The largest loss of the first window.
    pub(super) highest: f64,
    /// The losses of the last window.
    pub(super) recent: VecDeque<f64>,
    /// The parameters with the lowest mean loss over a window.
    pub(super) best: Option<Best<F>>,
}

/// Parameters with their loss.
#[derive(Clone, Debug)]
pub(super) struct Best<F> {
    pub(super) loss: f64,
    /// The number of steps taken before.
    pub(super) steps: usize,
    pub(super) params: Params<F>,
}

impl<F: Scalar> Losses<F> {
    pub(super) fn new() -> Self {
        Self {
            first: None,
            highest: f64::NEG_INFINITY,
            recent: VecDeque::new(),
            best: None,
        }
    }

    /// Records the loss of `params` after `steps` steps.
    pub(super) fn record(&mut self, steps: usize, loss: f64, params: &Params<F>, window: usize) {
        self.first.get_or_insert(loss);
        if steps < window {
            self.highest = self.highest.max(loss);
        }
        self.recent.push_back(loss);
        while self.recent.len() > window {
            self.recent.pop_front();
        }
        let mean = self.mean(window).unwrap_or(loss);
        match &mut self.best {
            Some(best) if mean >= best.loss => {}
            Some(best) => {
                (best.loss, best.steps) = (mean, steps);
                for (name, array) in params.iter() {
                    match best.params.get_mut(name) {
                        Some(kept) if kept.shape() == array.shape() => kept.assign(array),
                        _ => best.params.insert(name, array.clone()),
                    }
                }
            }
            none => {
                let params = params.clone();
                *none = Some(Best {
                    loss: mean,
                    steps,
                    params,
                });
            }
        }
    }

    /// The mean loss of the last `n` steps; steps that are no longer in the window are ignored.
    #[expect(clippy::cast_precision_loss, reason = "a window is short")]
    pub(super) fn mean(&self, n: usize) -> Option<f64> {
        let n = n.min(self.recent.len());
        let sum: f64 = self.recent.iter().rev().take(n).sum();
        (n > 0).then(|| sum / n as f64)
    }
}
