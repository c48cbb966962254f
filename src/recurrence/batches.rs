//! Batches from sequences of different lengths, and minibatches in random order.

use ndarray::{Array, ArrayD, ArrayView, Axis, Dimension};

use super::data::{Data, check_room};
use super::{Batch, Recurrence};
use crate::error::{Error, Result, counted};
use crate::noise::Noise;
use crate::op::Scalar;

impl<F: Scalar> Batch<F> {
    /// A batch of sequences of the given lengths, without inputs. [`with_sequences`](Self::with_sequences) and
    /// [`with_class_sequences`](Self::with_class_sequences) add inputs.
    ///
    /// ```
    /// use bptt::{Batch, Recurrence};
    /// let r = Recurrence::parse("r.rec", "dim N\ninput x\ninput k: class(N)\nparam w[N]\nloss x * gather(w, k)\n")?;
    /// let batch = Batch::of_lengths([1, 2])
    ///     .with_sequences("x", [&[1.0][..], &[2.0, 3.0]])?
    ///     .with_class_sequences("k", [&[0][..], &[1, 0]])?;
    /// assert_eq!(batch.get("x"), Some(&ndarray::array![[1.0, 2.0], [0.0, 3.0]].into_dyn()));
    /// let params = bptt::Params::new().with("w", ndarray::array![10.0, 1.0]);
    /// assert_eq!(r.evaluate(&params, &batch)?.loss()?, 42.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of_lengths(lengths: impl Into<Vec<usize>>) -> Self {
        let lengths = lengths.into();
        let steps = lengths.iter().copied().max().unwrap_or(0);
        Self::new(steps, lengths.len()).with_lengths(lengths)
    }

    /// A batch with one real input, given as one array `[T_b, …]` for each sequence; sets the lengths.
    ///
    /// ```
    /// use bptt::Batch;
    /// use ndarray::array;
    /// let (long, short) = (array![[1.0, 2.0], [3.0, 4.0]], array![[5.0, 6.0]]);
    /// let batch = Batch::from_sequences("x", [&long, &short])?;
    /// assert_eq!(batch.get("x").map(|x| x.shape()), Some(&[2, 2, 2][..]));
    /// assert!(batch.lengths().eq([2, 1]));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no sequence, a sequence has no steps, or the entries of two sequences differ in shape.
    pub fn from_sequences<'s, D: Dimension>(
        name: &str,
        sequences: impl IntoIterator<Item: Into<ArrayView<'s, F, D>>>,
    ) -> Result<Self> {
        let views: Vec<ArrayView<'s, F, D>> = sequences.into_iter().map(Into::into).collect();
        let lengths: Vec<usize> = views.iter().map(steps_of).collect();
        if views.is_empty() {
            let reason = format!("`{name}`: expected at least one sequence, found none");
            return Err(Error::Batch { reason });
        }
        if let Some(empty) = lengths.iter().position(|l| *l == 0) {
            let reason = format!("`{name}`: sequence {empty} (counted from 0) has no steps");
            return Err(Error::Batch { reason });
        }
        Self::of_lengths(lengths).with_sequences(name, views)
    }

    /// A batch of one sequence whose number of steps is not known before its end. `inputs` are the names and the shapes of
    /// real inputs per step; each step is one slice with their entries one after the other, in C order.
    ///
    /// The inputs are kept, since the way back in time reads them again, last step first. A gradient needs little more
    /// memory if its program has [`Memory::Sqrt`](crate::Memory::Sqrt) or a number of bytes.
    ///
    /// ```
    /// use bptt::{Batch, Memory, Params, Recurrence, Wrt};
    /// let r = Recurrence::parse("r.rec", "input x[2], y\nparam w[2]\nstate s\ns' = 0.9 * s + dot(w, x)\nloss (s' - y)^2\n")?;
    /// let lines = "1 2 0.5\n3 4 0.7\n".lines();
    /// let steps = lines.map(|line| line.split(' ').filter_map(|n| n.parse().ok()).collect::<Vec<f64>>());
    /// let batch = Batch::from_steps(&[("x", &[2]), ("y", &[])], steps)?;
    /// assert_eq!(batch.steps(), 2);
    /// let params = Params::new().with("w", ndarray::array![0.1, 0.2]);
    /// let gradient = r.gradient(Wrt::Parameters)?.compile::<f64>(&[])?.memory(Memory::Sqrt);
    /// assert!(gradient.evaluate(&params, &batch)?.loss()? > 0.0);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a step does not have as many entries as the inputs have together, there is no step, or a name is given
    /// twice.
    pub fn from_steps<S: AsRef<[F]>>(
        inputs: &[(&str, &[usize])],
        steps: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let product = |shape: &[usize]| shape.iter().try_fold(1usize, |n, k| n.checked_mul(*k));
        let lens: Option<Vec<usize>> = inputs.iter().map(|(_, shape)| product(shape)).collect();
        let sum = |lens: &[usize]| lens.iter().try_fold(0usize, |n, k| n.checked_add(*k));
        let counted = lens.and_then(|lens| sum(&lens).map(|expected| (lens, expected)));
        let Some((lens, expected)) = counted else {
            let reason = "the inputs have more numbers than can be counted".into();
            return Err(Error::Batch { reason });
        };
        for (i, (name, _)) in inputs.iter().enumerate() {
            if inputs[..i].iter().any(|(other, _)| other == name) {
                let reason = format!("input `{name}` is given twice");
                return Err(Error::Batch { reason });
            }
        }
        let mut columns: Vec<Vec<F>> = vec![Vec::new(); inputs.len()];
        let mut count = 0;
        for step in steps {
            let mut rest = step.as_ref();
            if rest.len() != expected {
                let found = rest.len();
                let reason = format!(
                    "step {count} (counted from 0) has {found} numbers, expected {expected}: those of all inputs"
                );
                return Err(Error::Batch { reason });
            }
            for (column, len) in columns.iter_mut().zip(&lens) {
                let (own, others) = rest.split_at(*len);
                column.extend_from_slice(own);
                rest = others;
            }
            count += 1;
        }
        if count == 0 {
            let reason = "expected at least one step, found none".into();
            return Err(Error::Batch { reason });
        }
        let mut batch = Self::new(count, 1);
        for ((name, shape), column) in inputs.iter().zip(columns) {
            let mut axes = vec![count, 1];
            axes.extend_from_slice(shape);
            let array = ArrayD::from_shape_vec(axes, column)?;
            batch.inputs.insert((*name).into(), Data::Real(array));
        }
        Ok(batch)
    }

    /// Adds or replaces a real input per step, given as one array `[T_b, …]` for each sequence. Later steps of
    /// shorter sequences are filled with zeros.
    ///
    /// # Errors
    /// When the sequences do not have the [`lengths`](Self::lengths) of the batch, or their entries differ in
    /// shape.
    pub fn with_sequences<'s, D: Dimension>(
        mut self,
        name: &str,
        sequences: impl IntoIterator<Item: Into<ArrayView<'s, F, D>>>,
    ) -> Result<Self> {
        let views: Vec<_> = sequences.into_iter().map(Into::into).collect();
        let array = self.padded(name, &views, F::zero())?;
        self.inputs.insert(name.into(), Data::Real(array));
        Ok(self)
    }

    /// Adds or replaces an input of classes per step, as [`with_sequences`](Self::with_sequences) does for numbers.
    ///
    /// # Errors
    /// As [`with_sequences`](Self::with_sequences).
    pub fn with_class_sequences<'s, D: Dimension>(
        mut self,
        name: &str,
        sequences: impl IntoIterator<Item: Into<ArrayView<'s, usize, D>>>,
    ) -> Result<Self> {
        let views: Vec<_> = sequences.into_iter().map(Into::into).collect();
        let array = self.padded(name, &views, 0)?;
        self.inputs.insert(name.into(), Data::Class(array));
        Ok(self)
    }

    /// One array `[T, B, …]` of sequences `[T_b, …]`.
    fn padded<T: Clone, D: Dimension>(
        &self,
        name: &str,
        sequences: &[ArrayView<'_, T, D>],
        zero: T,
    ) -> Result<ArrayD<T>> {
        let refuse = |reason| Err(Error::Batch { reason });
        if sequences.len() != self.samples {
            return refuse(format!(
                "`{name}`: expected {}, found {}",
                counted(self.samples, "sequence"),
                sequences.len()
            ));
        }
        let entry = sequences.first().map_or(&[][..], |s| entry_of(s));
        for (b, (sequence, length)) in sequences.iter().zip(self.lengths()).enumerate() {
            let (steps, found) = (steps_of(sequence), entry_of(sequence));
            if sequence.ndim() == 0 || steps != length {
                return refuse(format!(
                    "`{name}`: sequence {b} (counted from 0) has {}, expected its length {length}",
                    counted(steps, "step")
                ));
            }
            if found != entry {
                return refuse(format!(
                    "`{name}`: the entries of sequence {b} (counted from 0) have shape {found:?}, expected \
                     {entry:?} as in sequence 0"
                ));
            }
        }
        let shape = [&[self.steps, self.samples], entry].concat();
        check_room::<T>(name, &shape)?;
        let mut array = Array::from_elem(shape, zero);
        for (b, sequence) in sequences.iter().enumerate() {
            let mut column = array.index_axis_mut(Axis(1), b);
            for (mut to, from) in column
                .outer_iter_mut()
                .zip(sequence.view().into_dyn().outer_iter())
            {
                to.assign(&from);
            }
        }
        Ok(array)
    }

    /// The samples in minibatches of `size`, each sample exactly once, in an order that the seed determines; the
    /// last minibatch is smaller if `size` does not divide their number. Each minibatch is a copy of its samples
    /// only. For a new order in each epoch, give each epoch a seed of its own.
    ///
    /// ```
    /// use bptt::{Batch, Recurrence};
    /// let r = Recurrence::parse("r.rec", "input x\nloss x\n")?;
    /// let batch = Batch::new(1, 5).with("x", ndarray::array![[0.0, 1.0, 2.0, 3.0, 4.0]]);
    /// for epoch in 0..3 {
    ///     let parts = batch.minibatches(&r, 2, epoch)?;
    ///     assert_eq!(parts.map(|part| part.samples()).collect::<Vec<_>>(), [2, 2, 1]);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When `size` is 0, or as for [`samples_of`](Self::samples_of).
    pub fn minibatches<'a>(
        &'a self,
        recurrence: &'a Recurrence,
        size: usize,
        seed: u64,
    ) -> Result<impl ExactSizeIterator<Item = Self> + use<'a, F>> {
        if size == 0 {
            let reason = "minibatches of 0 samples: expected a size of at least 1".into();
            return Err(Error::Batch { reason });
        }
        self.check_axes(recurrence)?;
        let mut order: Vec<usize> = (0..self.samples).collect();
        Noise(seed).shuffle(&mut order);
        let count = order.len().div_ceil(size);
        Ok((0..count).map(move |i| {
            let end = order.len().min((i + 1).saturating_mul(size));
            self.selected(recurrence, &order[i * size..end])
        }))
    }
}

fn steps_of<T, D: Dimension>(sequence: &ArrayView<'_, T, D>) -> usize {
    sequence.shape().first().copied().unwrap_or(0)
}

/// The shape of one step.
fn entry_of<'s, T, D: Dimension>(sequence: &'s ArrayView<'_, T, D>) -> &'s [usize] {
    sequence.shape().get(1..).unwrap_or_default()
}
