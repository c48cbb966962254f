//! The answer of foreign code to a case.

use std::fmt;

use bptt::{Error, Scalar};
use ndarray::{Array, ArrayD, Dimension};

use indexmap::IndexMap;

use crate::{Case, Quantity};

/// The numbers that foreign code computed for a [`Case`]. A number that is left out is not compared, which the
/// certificate says.
///
/// ```
/// use bptt_testing::Answer;
/// use ndarray::{arr0, array};
/// let answer = Answer::new().loss(0.5).gradient("W", array![[1.0_f32, 2.0]]).gradient("a", arr0(3.0));
/// assert_eq!(answer.names().collect::<Vec<_>>(), ["loss", "W", "a"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    arrays: IndexMap<(Quantity, String), ArrayD<f64>>,
}

/// The name of the loss among the numbers of an answer.
pub(crate) const LOSS: &str = "loss";

impl Answer {
    /// No numbers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the loss.
    #[must_use]
    pub fn loss<F: Scalar>(self, loss: F) -> Self {
        self.with(Quantity::Loss, LOSS, ndarray::arr0(loss))
    }

    /// Adds the derivative of the loss with respect to a parameter or an input, in its shape.
    #[must_use]
    pub fn gradient<F: Scalar, D: Dimension>(self, name: &str, array: Array<F, D>) -> Self {
        self.with(Quantity::Gradient, name, array)
    }

    /// Adds an output: `[T, B, …]` per step, `[B, …]` per sample. Numbers beyond the length of a sample are not compared.
    #[must_use]
    pub fn output<F: Scalar, D: Dimension>(self, name: &str, array: Array<F, D>) -> Self {
        self.with(Quantity::Output, name, array)
    }

    /// Adds the derivative of the loss and its gradient along [`Case::direction`]: the part of the Hessian product for a
    /// parameter or an input, in its shape.
    #[must_use]
    pub fn hessian_vector<F: Scalar, D: Dimension>(self, name: &str, array: Array<F, D>) -> Self {
        self.with(Quantity::HessianVector, name, array)
    }

    /// Adds an array of any quantity.
    #[must_use]
    pub fn with<F: Scalar, D: Dimension>(
        mut self,
        quantity: Quantity,
        name: &str,
        array: Array<F, D>,
    ) -> Self {
        let array = array.into_dyn().mapv(Scalar::to_f64);
        self.arrays.insert((quantity, name.into()), array);
        self
    }

    /// An array.
    #[must_use]
    pub fn get(&self, quantity: Quantity, name: &str) -> Option<&ArrayD<f64>> {
        // A key that is borrowed in parts would need a type of its own.
        self.iter()
            .find(|(q, n, _)| *q == quantity && *n == name)
            .map(|(_, _, array)| array)
    }

    /// The names of the arrays, the loss first if it was added first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(|(_, name)| &**name)
    }

    /// All arrays.
    pub fn iter(&self) -> impl Iterator<Item = (Quantity, &str, &ArrayD<f64>)> {
        self.arrays.iter().map(|((q, n), a)| (*q, &**n, a))
    }
}

/// The reason why there is no answer that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The foreign code declined: it does not know this recurrence, these lengths or this type.
    Unsupported(String),
    /// The foreign code reported an error.
    Failed(String),
    /// The program ended.
    Ended(String),
    /// The program did not answer in time.
    Late(String),
    /// The answer is not in the form of the protocol.
    Malformed(String),
    /// An array of the answer has another shape, or a name that the recurrence does not have.
    Misfit(String),
    /// A number of the answer is not finite.
    NotFinite(String),
}

impl Failure {
    /// The kind of failure in a word, as in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unsupported(_) => "unsupported",
            Self::Failed(_) => "failed",
            Self::Ended(_) => "ended",
            Self::Late(_) => "late",
            Self::Malformed(_) => "malformed",
            Self::Misfit(_) => "misfit",
            Self::NotFinite(_) => "not finite",
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Unsupported(m)
            | Self::Failed(m)
            | Self::Ended(m)
            | Self::Late(m)
            | Self::Malformed(m)
            | Self::Misfit(m)
            | Self::NotFinite(m) => m,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Failure {}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Failed(message.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Code that computes a loss and its gradients: a closure, or a [program](crate::process::Program).
pub trait Foreign {
    /// Computes the loss and the gradients for this data, and Hessian products if `second_order` is true and the code has
    /// them.
    ///
    /// # Errors
    /// If there is no answer.
    fn answer(&mut self, case: &Case, second_order: bool) -> Result<Answer, Failure>;

    /// Returns true if the comparison is to end early, without a result.
    fn is_stopped(&self) -> bool {
        false
    }
}

impl<F: FnMut(&Case) -> Result<Answer, Failure>> Foreign for F {
    fn answer(&mut self, case: &Case, _: bool) -> Result<Answer, Failure> {
        self(case)
    }
}
