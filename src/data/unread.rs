//! The places of inputs that no run reads: behind the end of a sequence, and at steps whose mask is 0. They may
//! hold anything, also numbers that the type of a run cannot represent.

use ndarray::{ArrayD, Axis, IxDyn};

use super::{Array, Arrays};
use crate::recurrence::Recurrence;
use crate::shape::Rate;

/// The places of the inputs per step that are not read.
pub(super) struct Unread<'a> {
    lengths: Option<&'a [usize]>,
    /// The masks, by step and sample.
    masks: Vec<ArrayD<f64>>,
}

impl<'a> Unread<'a> {
    pub(super) fn of(
        arrays: &Arrays,
        recurrence: &Recurrence,
        lengths: Option<&'a [usize]>,
    ) -> Self {
        let masks = recurrence.tape().masks();
        let masks = masks.filter_map(|mask| Some(arrays.get(mask)?.real()));
        Self {
            lengths,
            masks: masks.collect(),
        }
    }

    /// The value of an input. If it is refused, entries that are not read are zero and the rest counts.
    pub(super) fn convert<T>(
        &self,
        recurrence: &Recurrence,
        (name, array): (&str, &Array),
        convert: impl Fn(&Array) -> Result<T, String>,
    ) -> Result<T, String> {
        convert(array).or_else(|reason| {
            let leaf = recurrence.tape().leaf_named(name);
            let leaf = leaf.filter(|leaf| leaf.ty().rate == Rate::Step);
            let masked = leaf.is_some_and(|leaf| recurrence.tape().is_masked(leaf));
            let is_read = |step: usize, sample: usize| {
                let ended = self
                    .lengths
                    .is_some_and(|l| l.get(sample).is_some_and(|l| step >= *l));
                let excluded = |mask: &ArrayD<f64>| mask.get(IxDyn(&[step, sample])) == Some(&0.0);
                !(ended || masked && self.masks.iter().any(excluded))
            };
            match leaf {
                Some(_) => convert(&blanked(array, is_read)),
                None => Err(reason),
            }
        })
    }
}

/// The array with zeros where it is not read.
fn blanked(array: &Array, is_read: impl Fn(usize, usize) -> bool) -> Array {
    fn each<T: Clone + Default>(
        a: &ArrayD<T>,
        is_read: &dyn Fn(usize, usize) -> bool,
    ) -> ArrayD<T> {
        let mut a = a.clone();
        if a.ndim() < 2 {
            return a;
        }
        for (step, mut rows) in a.axis_iter_mut(Axis(0)).enumerate() {
            for (sample, mut row) in rows.axis_iter_mut(Axis(0)).enumerate() {
                if !is_read(step, sample) {
                    row.fill(T::default());
                }
            }
        }
        a
    }
    match array {
        Array::F32(a) => Array::F32(each(a, &is_read)),
        Array::F64(a) => Array::F64(each(a, &is_read)),
        Array::Int(a) => Array::Int(each(a, &is_read)),
        Array::Bool(a) => Array::Bool(each(a, &is_read)),
    }
}
