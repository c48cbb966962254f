//! A test that all numbers of a slice are finite.

#![allow(unsafe_code, reason = "vectors are loaded from a slice")]

use super::{Element, Isa, Kernel, Vector};

/// The number of vectors added at once, so that none waits for the previous one.
const TOGETHER: usize = 4;

/// Returns true if no number is infinite or NaN: zero times each is then zero.
pub(crate) fn all_finite<T: Element>(isa: Isa, x: &[T]) -> bool {
    isa.dispatch(AllFinite(x))
}

struct AllFinite<'a, T>(&'a [T]);

impl<T: Element> Kernel<T> for AllFinite<'_, T> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) -> bool {
        let zero = V::splat(T::ZERO);
        let mut sums = [zero; TOGETHER];
        let (x, mut i) = (self.0, 0);
        while i + TOGETHER * V::LANES <= x.len() {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: all of these vectors are inside the slice.
                let x = unsafe { V::load(x.as_ptr().add(i + v * V::LANES)) };
                *sum = *sum + x * zero;
            }
            i += TOGETHER * V::LANES;
        }
        let mut sum = sums[0];
        for other in &sums[1..] {
            sum = sum + *other;
        }
        while i < x.len() {
            let rest = V::LANES.min(x.len() - i);
            // SAFETY: `rest` numbers are left.
            let x = unsafe { V::load_partial(x.as_ptr().add(i), rest) };
            sum = sum + x * zero;
            i += rest;
        }
        sum.to_array()
            .into_iter()
            .take(V::LANES)
            .all(|x| x == T::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each_place<T: Element>(tiny: T, largest: T, others: &[T]) {
        for isa in Isa::available() {
            // Miri is slow.
            for len in (0..150).step_by(if cfg!(miri) { 37 } else { 1 }) {
                let mut x = vec![largest; len];
                x.iter_mut().step_by(3).for_each(|x| *x = -tiny);
                assert!(all_finite(*isa, &x), "{len} numbers");
                for i in 0..len {
                    for other in others {
                        let kept = std::mem::replace(&mut x[i], *other);
                        assert!(!all_finite(*isa, &x), "{other:?} at {i} of {len}");
                        x[i] = kept;
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_found_wherever_it_is() {
        each_place(5e-324, f64::MAX, &[f64::NAN, f64::INFINITY, -f64::INFINITY]);
        each_place(1e-45, f32::MAX, &[f32::NAN, f32::INFINITY, -f32::INFINITY]);
    }
}
