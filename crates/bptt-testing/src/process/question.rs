//! Questions: a case as a line of JSON, or as arrays.

use bptt::data::{Array, Arrays};
use bptt::{Kind, Leaf, Recurrence, Role};
use ndarray::{ArrayD, ArrayViewD, Axis};

use crate::{Case, Precision};

/// The name of the group of a leaf.
const fn group(leaf: &Leaf) -> &'static str {
    match leaf.role() {
        Role::Parameter => "params",
        Role::Input => "inputs",
    }
}

/// True if the entries are numbers of classes.
fn is_class(leaf: &Leaf) -> bool {
    leaf.classes().is_some() || matches!(leaf.ty().kind, Kind::Class(_))
}

/// A question as a line.
pub(super) fn json(id: u64, recurrence: &Recurrence, case: &Case, second_order: bool) -> String {
    let mut line = Line {
        text: String::new(),
        precision: case.precision,
    };
    line.write_question(id, recurrence, case, second_order);
    line.text.push('\n');
    line.text
}

/// A line of JSON that is written.
struct Line {
    text: String,
    precision: Precision,
}

impl Line {
    fn write_question(
        &mut self,
        id: u64,
        recurrence: &Recurrence,
        case: &Case,
        second_order: bool,
    ) {
        let name = serde_json::Value::from(recurrence.name());
        let (steps, samples) = (case.batch.steps(), case.batch.samples());
        let sizes = case
            .sizes
            .iter()
            .map(|(dim, size)| format!("\"{dim}\": {size}"));
        let sizes: Vec<String> = sizes.collect();
        self.text.push_str(&format!(
            "{{\"id\": {id}, \"recurrence\": {name}, \"dtype\": \"{}\", \"second_order\": {second_order}, \
             \"sizes\": {{{}}}, \"steps\": {steps}, \"samples\": {samples}, \"lengths\": {:?}",
            case.precision,
            sizes.join(", "),
            case.lengths()
        ));
        let leaves = recurrence.tape().leaves();
        for wanted in ["params", "inputs"] {
            let arrays = leaves.iter().filter(|leaf| group(leaf) == wanted);
            let arrays = arrays
                .filter_map(|leaf| Some((leaf.name(), case.array(leaf.name())?, is_class(leaf))));
            self.write_group(wanted, arrays);
        }
        if second_order {
            let arrays = case.direction.iter();
            self.write_group(
                "direction",
                arrays.map(|(name, a)| (name, a.clone(), false)),
            );
        }
        self.text.push('}');
    }

    fn write_group<'n>(
        &mut self,
        group: &str,
        arrays: impl Iterator<Item = (&'n str, ArrayD<f64>, bool)>,
    ) {
        self.text.push_str(&format!(", \"{group}\": {{"));
        for (i, (name, array, is_class)) in arrays.enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            self.text.push_str(&format!("{comma}\"{name}\": "));
            self.write_array(array.view(), is_class);
        }
        self.text.push('}');
    }

    /// Nested lists, one level for each axis.
    fn write_array(&mut self, array: ArrayViewD<'_, f64>, is_class: bool) {
        if array.ndim() == 0 {
            array.iter().for_each(|x| self.write_number(*x, is_class));
            return;
        }
        self.text.push('[');
        for (i, part) in array.axis_iter(Axis(0)).enumerate() {
            self.text.push_str(if i > 0 { ", " } else { "" });
            self.write_array(part, is_class);
        }
        self.text.push(']');
    }

    /// The shortest text that is read as the same number of this precision.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number is exact in `f32`"
    )]
    fn write_number(&mut self, x: f64, is_class: bool) {
        self.text.push_str(&match (is_class, self.precision) {
            (true, _) => format!("{x}"),
            (false, Precision::F64) => format!("{x:?}"),
            (false, Precision::F32) => format!("{:?}", x as f32),
        });
    }
}

/// A question as arrays.
pub(super) fn arrays(recurrence: &Recurrence, case: &Case, second_order: bool) -> Arrays {
    let mut arrays = Arrays::new();
    let whole = |n: &usize| i64::try_from(*n).unwrap_or(i64::MAX);
    for (dim, size) in &case.sizes {
        let size = ndarray::arr0(whole(size)).into_dyn();
        arrays.insert(&format!("sizes/{dim}"), Array::Int(size));
    }
    let lengths: ndarray::Array1<i64> = case.lengths().iter().map(whole).collect();
    arrays.insert("lengths", Array::Int(lengths.into_dyn()));
    for leaf in recurrence.tape().leaves() {
        let name = format!("{}/{}", group(leaf), leaf.name());
        if let Some(array) = case.array(leaf.name()) {
            arrays.insert(&name, stored(&array, is_class(leaf), case.precision));
        }
    }
    for (name, array) in case.direction.iter().filter(|_| second_order) {
        let name = format!("direction/{name}");
        arrays.insert(&name, stored(array, false, case.precision));
    }
    arrays
}

/// An array of the type in which its entries are exact.
#[expect(clippy::cast_possible_truncation, reason = "the numbers are exact")]
fn stored(array: &ArrayD<f64>, is_class: bool, precision: Precision) -> Array {
    match (is_class, precision) {
        (true, _) => Array::Int(array.mapv(|x| x as i64)),
        (false, Precision::F64) => Array::F64(array.clone()),
        (false, Precision::F32) => Array::F32(array.mapv(|x| x as f32)),
    }
}
