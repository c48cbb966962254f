//! Numbers from a seed (splitmix64, Steele, Lea and Flood 2014): the same on every machine.

use ndarray::ArrayD;

/// A generator with its state.
#[derive(Clone, Debug)]
pub struct Noise(pub u64);

impl Noise {
    /// 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        Self::mixed(self.0)
    }

    /// The bits of a state.
    #[must_use]
    pub const fn mixed(mut z: u64) -> u64 {
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in [−1, 1).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
    pub fn number(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / f64::from(1u32 << 26) / f64::from(1u32 << 26) - 1.0
    }

    /// A number with the standard normal distribution (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let (u, v) = (0.5 * (1.0 - self.number()), self.number());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::PI * v).cos()
    }

    /// A whole number in `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.bits() % n).unwrap_or(0)
    }

    /// Puts a list in random order (Fisher and Yates' shuffle in Durstenfeld's form, 1964).
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i + 1));
        }
    }

    /// An array of numbers in [−1, 1).
    pub fn array(&mut self, shape: &[usize]) -> ArrayD<f64> {
        ArrayD::from_shape_simple_fn(shape, || self.number())
    }
}
