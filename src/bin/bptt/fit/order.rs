//! The order in which samples are seen.

/// Minibatches: every sample once, in random order, then again in another.
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

    /// The order after some steps: the seed and their number determine it.
    pub(super) fn after(mut self, steps: usize) -> Self {
        let round = self.round();
        if round > 0 && steps > 0 {
            (0..steps.div_ceil(round)).for_each(|_| self.shuffle());
            self.at = ((steps - 1) % round + 1) * self.size;
        }
        self
    }

    /// How many minibatches a round has; 0 where all samples are seen in each step.
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
        // What is left of a round and is less than a minibatch waits for the next one.
        if self.at + self.size > self.order.len() {
            self.shuffle();
            self.at = 0;
        }
        let part = self.order[self.at..self.at + self.size].to_vec();
        self.at += self.size;
        Some(part)
    }

    /// Fisher and Yates, as Durstenfeld (1964) wrote it.
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
