//! The mistake behind wrong numbers.

use std::fmt;

use crate::Reference;
use crate::{Answer, Case, Cases, Expected, Foreign};

/// A case with the right and the answered numbers.
pub(crate) struct Evidence {
    pub(crate) case: Case,
    pub(crate) expected: Expected,
    pub(crate) answer: Answer,
}

/// Wrong numbers, and all that is needed to ask for more.
pub(crate) struct Subject<'a> {
    pub(crate) cases: &'a Cases<'a>,
    pub(crate) reference: &'a Reference,
    pub(crate) evidence: &'a [Evidence],
    pub(crate) seed: u64,
}

/// The mistake behind wrong numbers.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {}

impl Diagnosis {
    pub(crate) fn of(_: &Subject<'_>, _: &mut dyn Foreign) -> Self {
        Self::default()
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
