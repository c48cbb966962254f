//! Gradients by forward mode: memory that does not grow with the number of steps.

use ndarray::ArrayD;

use super::{Program, Real, Workspace};
use crate::error::{Error, Result};
use crate::recurrence::{Batch, LOSS, Outputs, Params};
use crate::shape::Rate;
use crate::tape::Derived;

impl<F: Real> Program<F> {
    /// The gradient of the loss by forward mode, for a program made of a
    /// [`loss_tangent`](crate::Recurrence::loss_tangent) with respect to parameters and with
    /// [`directions`](Self::directions).
    ///
    /// Each run finds the slopes along as many unit vectors as the program has directions, so the gradient of
    /// `n` numbers takes `n / count` runs, rounded up. No value is kept for a pass backwards in time: if all states
    /// run forwards, the values in memory do not grow in number with the steps. This is real-time recurrent
    /// learning (Williams and Zipser 1989) for a few parameters; with many, the
    /// [`gradient`](crate::Recurrence::gradient) is much faster.
    ///
    /// The outputs are `loss` and the gradient of each parameter under its name. `params` and `batch` are the data
    /// without directions.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence, Wrt};
    /// use ndarray::{Array2, arr0};
    /// let r = Recurrence::parse("r.rec", "param a, b\ninput x\nstate h\nh' = tanh(a * h + b * x)\nloss h'^2\n")?;
    /// let params = Params::new().with("a", arr0(0.5)).with("b", arr0(2.0));
    /// let batch = Batch::new(1000, 1).with("x", Array2::from_shape_fn((1000, 1), |(t, _)| (t as f64).sin()));
    /// let program = r.loss_tangent(Wrt::Parameters)?.compile::<f64>(&[])?.directions(2)?;
    /// let forward = program.forward_gradient(&params, &batch, &mut program.workspace())?;
    /// let backward = r.gradient(Wrt::Parameters)?.evaluate(&params, &batch)?;
    /// assert!((forward["a"].sum() - backward["a"].sum()).abs() < 1e-10);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoDirections`] if the program has no directions, or one of a value that varies with the sample or
    /// the step; [`Error::NoLoss`] if the recurrence has no loss; others as for [`run`](Self::run).
    ///
    /// # Panics
    /// If the workspace was made by another program.
    pub fn forward_gradient(
        &self,
        params: &Params<F>,
        batch: &Batch<F>,
        workspace: &mut Workspace<F>,
    ) -> Result<Outputs<F>> {
        let count = self.forward_directions()?;
        let slope = Derived::Tangent(LOSS.into());
        let slope = self
            .recurrence
            .output_for(&slope)
            .ok_or_else(|| Error::NoLoss {
                recurrence: self.recurrence.name().into(),
            })?;
        let mut along = params.clone();
        let mut found = Outputs::with_roles(crate::recurrence::Roles::default());
        // The name of the direction, and the number of entries, of each parameter.
        let mut wanted: Vec<(&str, usize)> = Vec::new();
        let mut gradient: Vec<(&str, ArrayD<F>)> = Vec::new();
        for leaf in self.recurrence.tape().leaves() {
            let Some(Derived::Tangent(of)) = leaf.derived() else {
                continue;
            };
            let own = leaf.ty().shape.values(&self.sizes);
            let mut axes = own.clone();
            axes.insert(0, count);
            along.insert(leaf.name(), ArrayD::<F>::zeros(axes));
            wanted.push((leaf.name(), own.iter().product()));
            gradient.push((of, ArrayD::zeros(own)));
        }
        let places = wanted.iter().enumerate();
        let places = places.flat_map(|(i, (_, len))| (0..*len).map(move |entry| (i, entry)));
        let places: Vec<(usize, usize)> = places.collect();
        for some in places.chunks(count) {
            let set = |along: &mut Params<F>, value: F| {
                for (lane, (i, entry)) in some.iter().enumerate() {
                    let (name, len) = wanted[*i];
                    let array = along.get_mut(name).and_then(ArrayD::as_slice_mut);
                    array
                        .into_iter()
                        .for_each(|a| a[lane * len + entry] = value);
                }
            };
            set(&mut along, F::one());
            let outputs = self.run(&along, batch, workspace)?;
            set(&mut along, F::zero());
            if let Some(loss) = outputs.get(LOSS) {
                found.insert(LOSS, loss.clone());
            }
            for ((i, entry), value) in some.iter().zip(&outputs[slope]) {
                let array = gradient[*i].1.as_slice_mut();
                array.into_iter().for_each(|a| a[*entry] = *value);
            }
        }
        for (name, array) in gradient {
            found.insert_gradient(name, array);
        }
        Ok(found)
    }

    /// The number of directions of a program whose directions are those of static values.
    fn forward_directions(&self) -> Result<usize> {
        let refuse = |reason: String| Err(Error::NoDirections { reason });
        let Some(count) = self.directions else {
            return refuse("compile the tangent with them, as in `.directions(8)`".into());
        };
        let leaves = self.recurrence.tape().leaves().iter();
        let mut added = leaves.filter(|l| l.derived().is_some());
        let is_other = |l: &&crate::tape::Leaf| {
            !matches!(l.derived(), Some(Derived::Tangent(_))) || l.ty().rate != Rate::Static
        };
        match added.find(is_other) {
            None => Ok(count),
            Some(leaf) => refuse(format!(
                "`{}` is no direction of a parameter; take `loss_tangent(Wrt::Parameters)`",
                leaf.name()
            )),
        }
    }
}
