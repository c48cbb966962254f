//! Pseudo-random numbers from a seed (splitmix64, Steele, Lea and Flood 2014), the same on every machine.

use ndarray::ArrayD;

pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Numbers in [−1, 1).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
    pub(crate) fn array(&mut self, shape: &[usize]) -> ArrayD<f64> {
        let mut number =
            || (self.bits() >> 11) as f64 / f64::from(1u32 << 26) / f64::from(1u32 << 26) - 1.0;
        ArrayD::from_shape_simple_fn(shape, &mut number)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.bits() % n).unwrap_or(0)
    }
}
