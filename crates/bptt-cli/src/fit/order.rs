//! The order of the samples in a fit.

/// Minibatches in random order: every sample at most once per epoch, with a new order in each.
pub(super) struct Order {
    seed: u64,
    size: usize,
    order: Vec<usize>,
    at: usize,
}

impl Order {
    pub(super) fn new(samples: usize, size: Option<usize>, seed: u64) -> Self {
        Self {
            seed,
            size: size.unwrap_or(samples).min(samples),
            order: (0..samples).collect(),
            at: samples,
        }
    }

    /// The order after `steps` steps, which is determined by the seed and `steps`.
    pub(super) fn after(mut self, steps: usize) -> Self {
        let round = self.round();
        if round > 0 && steps > 0 {
            (0..steps.div_ceil(round)).for_each(|_| self.shuffle());
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
            self.shuffle();
            self.at = 0;
        }
        let part = self.order[self.at..self.at + self.size].to_vec();
        self.at += self.size;
        Some(part)
    }

    /// The Fisher–Yates shuffle in Durstenfeld's form (1964).
    fn shuffle(&mut self) {
        for i in (1..self.order.len()).rev() {
            let j = self.bits() % (i as u64 + 1);
            self.order.swap(i, usize::try_from(j).unwrap_or(0));
        }
    }

    fn bits(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.seed)
    }
}

/// The mixing function of splitmix64 (Steele, Lea and Flood 2014).
pub(super) const fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
