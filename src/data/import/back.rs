//! The parameters of an imported recurrence, back under the names and in the shapes of the model that it came from.

use ndarray::ArrayD;

use super::options::{Activation, Import, Nonlinearity};
use super::state::{kept, refused};
use crate::data::{Array, Arrays, Element};
use crate::error::{Error, Result, quoted};
use crate::op::Scalar;
use crate::recurrence::Params;

/// The bits of the number of an entry; the numbers of second biases come above them, so that a sum has both.
const BITS: u32 = 26;

/// The entries of the arrays of a model, each with a number, so that the parameters of an import of the numbers show their places.
pub(super) struct Numbers {
    /// The array and the entry of each number, of first and of second biases.
    places: [Vec<(usize, usize)>; 2],
}

impl Numbers {
    pub(super) fn new() -> Self {
        // Zero is no number of an entry.
        let places = [vec![(0, 0)], vec![(0, 0)]];
        Self { places }
    }

    /// Numbers for the entries of an array.
    pub(super) fn number(
        &mut self,
        at: usize,
        shape: &[usize],
        is_second: &dyn Fn(usize) -> bool,
    ) -> Result<ArrayD<f64>> {
        let count = shape.iter().product::<usize>();
        let mut entries = Vec::with_capacity(count);
        for entry in 0..count {
            let is_second = is_second(entry);
            let list = &mut self.places[usize::from(is_second)];
            #[expect(clippy::cast_precision_loss, reason = "numbers have 52 bits at most")]
            entries.push((list.len() << if is_second { BITS } else { 0 }) as f64);
            list.push((at, entry));
        }
        if self.places.iter().any(|list| list.len() >> BITS > 0) {
            return Err(refused(format!(
                "the model has more than {} numbers",
                1 << BITS
            )));
        }
        ArrayD::from_shape_vec(shape, entries).map_err(|_| refused("an array is too large".into()))
    }

    /// The arrays of the model with new entries, by the numbers in the parameters of its import; others stay as they are.
    pub(super) fn back<F: Scalar>(
        &self,
        imported: &Arrays,
        params: &Params<F>,
        mut found: Vec<ArrayD<F>>,
        are_gradients: bool,
    ) -> Result<Vec<ArrayD<F>>> {
        if let Some((name, _)) = params.iter().find(|(name, _)| imported.get(name).is_none()) {
            return Err(Error::UnknownName {
                what: "parameter of this model",
                name: name.into(),
                known: imported.iter().map(|(n, _)| n.into()).collect(),
            });
        }
        for (name, numbers) in imported.iter() {
            let array = params.get(name).ok_or_else(|| {
                refused(format!(
                    "the model has the parameter `{name}`, and there are only {}",
                    quoted(params.iter().map(|(n, _)| n))
                ))
            })?;
            if array.shape() != numbers.shape() {
                return Err(Error::ArrayShape {
                    what: "parameter",
                    name: name.into(),
                    expected: format!("{:?}", numbers.shape()),
                    found: array.shape().into(),
                });
            }
            for (value, number) in array.iter().zip(&numbers.real::<f64>()) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "they are the numbers of entries"
                )]
                let number = *number as usize;
                let (first, second) = (number & ((1 << BITS) - 1), number >> BITS);
                let mut put = |list: &[(usize, usize)], n: usize, value: F| {
                    let place = list.get(n).filter(|_| n > 0);
                    if let Some((at, entry)) = place
                        && let Some(x) = found[*at].as_slice_mut().and_then(|a| a.get_mut(*entry))
                    {
                        *x = value;
                    }
                };
                put(&self.places[0], first, *value);
                let is_added = first > 0 && !are_gradients;
                put(
                    &self.places[1],
                    second,
                    if is_added { F::of(0.0) } else { *value },
                );
            }
        }
        Ok(found)
    }
}

impl Arrays {
    /// The parameters of a recurrence that [`import`](Self::import) made of these arrays, under their names and in their shapes,
    /// so that the model can load them. Of two biases that are added, the second is zero; of `are_gradients`, both are that of
    /// their sum. Arrays that the import ignores stay as they are. `options` gives the order and the ignored names; other choices have
    /// no effect.
    ///
    /// ```
    /// use bptt::Params;
    /// use bptt::data::{Arrays, Import};
    /// use ndarray::{Array1, Array2};
    /// let model = Arrays::new()
    ///     .with("net.weight_ih_l0", Array2::<f32>::ones((6, 1)))
    ///     .with("net.weight_hh_l0", Array2::<f32>::ones((6, 2)))
    ///     .with("net.bias_ih_l0", Array1::<f32>::ones(6))
    ///     .with("net.bias_hh_l0", Array1::<f32>::ones(6));
    /// let imported = model.import("gru.npz", &Import::new())?;
    /// let params: Params<f64> = imported.params.params(&imported.recurrence)?;
    /// let back = model.updated(&params, &Import::new(), false)?;
    /// let bias = |name: &str| back.get(name).unwrap().real::<f64>().into_iter().collect::<Vec<_>>();
    /// assert_eq!(bias("net.bias_ih_l0"), [2.0, 2.0, 2.0, 2.0, 1.0, 1.0]);
    /// assert_eq!(bias("net.bias_hh_l0"), [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When these arrays cannot be imported, or the parameters are others than those of the import.
    pub fn updated<F: Scalar + Element>(
        &self,
        params: &Params<F>,
        options: &Import,
        are_gradients: bool,
    ) -> Result<Self> {
        let mut numbered = self.clone();
        let mut numbers = Numbers::new();
        let own: Vec<(&str, &Array)> = kept(self, options)?;
        // An array that shares the entries of one before it.
        let shared = |at: usize| {
            let (name, array) = own[at];
            own[..at]
                .iter()
                .position(|(other, a)| is_shared(name, other) && *a == array)
        };
        for (at, (name, array)) in own.iter().enumerate() {
            let before = shared(at).and_then(|n| numbered.get(own[n].0).cloned());
            let count = array.shape().iter().product();
            let is_second = |entry| is_second(name, array.shape(), entry, count);
            let array = match before {
                Some(same) => same,
                None => f64::array(numbers.number(at, array.shape(), &is_second)?),
            };
            numbered.insert(name, array);
        }
        let before = own.iter().map(|(_, a)| a.real::<F>()).collect();
        let found = numbers.back(&numbered.names_of(options)?, params, before, are_gradients)?;
        let mut back = self.clone();
        for (at, (name, _)) in own.iter().enumerate() {
            back.insert(name, F::array(found[shared(at).unwrap_or(at)].clone()));
        }
        Ok(back)
    }

    /// The parameters of the import, whose names depend on the order only: the functions that the file does not name are made up.
    fn names_of(&self, options: &Import) -> Result<Self> {
        let bare = Import::new()
            .order(&options.order)
            .ignoring(&options.ignored);
        let rnn = |i: Import| i.nonlinearity(Nonlinearity::Tanh);
        let linear = |i: Import| i.activation(Activation::None);
        let choices = [
            bare.clone(),
            rnn(bare.clone()),
            linear(bare.clone()),
            linear(rnn(bare.clone())),
        ];
        let found = choices
            .iter()
            .find_map(|choice| self.import("model", choice).ok());
        match found {
            Some(imported) => Ok(imported.params),
            None => Err(self
                .import("model", &bare)
                .map_or_else(|error| error, |_| refused("the model has no import".into()))),
        }
    }
}

/// If a matrix may be shared by an embedding and a readout.
fn is_shared(name: &str, other: &str) -> bool {
    let is_plain = |name: &str| name.rsplit('.').next() == Some("weight");
    is_plain(name) && is_plain(other)
}

/// If an entry is one of a second bias: of `bias_hh` of PyTorch, of the second row of a GRU of Keras.
fn is_second(name: &str, shape: &[usize], entry: usize, count: usize) -> bool {
    let end = name.rsplit(['.', '/']).next().unwrap_or(name);
    end.starts_with("bias_hh") || end == "bias" && shape.len() == 2 && entry >= count / 2
}
