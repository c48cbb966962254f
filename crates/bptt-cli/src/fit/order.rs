//! The order of the samples in a fit.

use bptt::Noise;

/// Minibatches in random order: every sample at most once per epoch, with a new order in each.
pub(super) struct Order {
    noise: Noise,
    size: usize,
    order: Vec<usize>,
    at: usize,
}

impl Order {
    pub(super) fn new(samples: usize, size: Option<usize>, seed: u64) -> Self {
        Self {
            noise: Noise(seed),
            size: size.unwrap_or(samples).min(samples),
            order: (0..samples).collect(),
            at: samples,
        }
    }

    /// The order after `steps` steps, which is determined by the seed and `steps`.
    pub(super) fn after(mut self, steps: usize) -> Self {
        let round = self.round();
        if round > 0 && steps > 0 {
            (0..steps.div_ceil(round)).for_each(|_| self.noise.shuffle(&mut self.order));
            self.at = ((steps - 1) % round + 1) * self.size;
        }
        self
    }

    /// The number of minibatches in an epoch; 0 if each step uses all samples.
    pub(super) fn round(&self) -> usize {
        match self.size == self.order.len() {
            true => 0,
            false => self.order.len() / self.size,
        }
    }

    /// The samples of the next step; `None` means all of them.
    pub(super) fn next(&mut self) -> Option<Vec<usize>> {
        if self.round() == 0 {
            return None;
        }
        // The rest of an epoch that is smaller than a minibatch is skipped.
        if self.at + self.size > self.order.len() {
            self.noise.shuffle(&mut self.order);
            self.at = 0;
        }
        let part = self.order[self.at..self.at + self.size].to_vec();
        self.at += self.size;
        Some(part)
    }
}
