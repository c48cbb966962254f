//! Records: the parameters, the inputs and the outputs of an exported function, one after the other.

use super::names::Names;
use crate::exec::{Program, Real};
use crate::shape::{Kind, Rate};
use crate::tape::{Leaf, Role};

/// A named array of a record.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) identifier: String,
    /// The first entry in the record.
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) shape: Vec<usize>,
    /// The number of classes, if the entries are numbers of classes.
    pub(super) classes: Option<usize>,
    /// The index of the leaf or of the output.
    pub(super) index: usize,
}

/// Arrays one after the other, each row by row.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) fields: Vec<Field>,
    /// The number of entries.
    pub(super) len: usize,
}

impl Record {
    fn push(&mut self, name: &str, index: usize, shape: Vec<usize>, classes: Option<usize>) {
        let len = shape.iter().product();
        self.fields.push(Field {
            name: name.into(),
            identifier: String::new(),
            start: self.len,
            len,
            shape,
            classes,
            index,
        });
        self.len += len;
    }

    fn named(mut self, reserved: &[&str]) -> Self {
        let mut names = Names::without(reserved.iter().copied());
        for field in &mut self.fields {
            field.identifier = names.fresh(&field.name);
        }
        self
    }

    /// The field of a leaf or an output.
    pub(super) fn field(&self, index: usize) -> Option<&Field> {
        self.fields.iter().find(|f| f.index == index)
    }
}

/// The data of an exported function.
#[derive(Clone, Debug)]
pub(super) struct Records {
    /// The parameters, in order of declaration.
    pub(super) params: Record,
    /// The inputs that do not vary with the step.
    pub(super) starts: Record,
    /// The inputs of a step.
    pub(super) inputs: Record,
    /// The outputs that do not vary with the step.
    pub(super) results: Record,
    /// The outputs of a step.
    pub(super) rows: Record,
}

impl Records {
    pub(super) fn of<F: Real>(program: &Program<F>, reserved: &[&str]) -> Self {
        let sizes = program.sizes();
        let leaves = program.recurrence().tape().leaves();
        let of = |is_there: &dyn Fn(&Leaf) -> bool| {
            let mut record = Record::default();
            for (index, leaf) in leaves.iter().enumerate().filter(|(_, l)| is_there(l)) {
                let classes = match leaf.ty().kind {
                    Kind::Class(count) => Some(count),
                    Kind::Real => leaf.classes(),
                };
                let classes = classes.map(|n| n.value(sizes));
                record.push(leaf.name(), index, leaf.ty().shape.values(sizes), classes);
            }
            record.named(reserved)
        };
        let outputs = |by_step: bool| {
            let mut record = Record::default();
            let all = program.plan().outputs.iter().enumerate();
            for (index, o) in all.filter(|(_, o)| (o.rate == Rate::Step) == by_step) {
                record.push(&o.name, index, o.shape.clone(), None);
            }
            record.named(reserved)
        };
        let is_param = |leaf: &Leaf| leaf.role() == Role::Parameter;
        Self {
            params: of(&is_param),
            starts: of(&|leaf| !is_param(leaf) && leaf.ty().rate != Rate::Step),
            inputs: of(&|leaf| !is_param(leaf) && leaf.ty().rate == Rate::Step),
            results: outputs(false),
            rows: outputs(true),
        }
    }
}
