//! The arrays of a layout, made of those of a recurrence.

use bptt::{Error, Kind, Rate, Recurrence, Result, Role};
use ndarray::{ArrayD, ArrayViewD, Axis, concatenate, stack};

use super::cells::{Gate, Stack};
use super::layout::Layout;

/// The meaning of a number for a bias that is a sum of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A parameter or a direction: both parts add up to it.
    Part,
    /// A derivative: both parts have that of the sum.
    Derivative,
}

/// The part of a bias that is a sum of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    All,
    First,
    Second,
}

/// The part of an array that one of ours gives.
#[derive(Clone, Debug)]
struct Piece {
    name: String,
    share: Share,
}

impl Piece {
    fn all(name: String) -> Self {
        let share = Share::All;
        Self { name, share }
    }

    fn of(&self, array: &ArrayD<f64>, meaning: Meaning) -> ArrayD<f64> {
        match (meaning, self.share) {
            (Meaning::Derivative, _) | (_, Share::All) => array.clone(),
            // The two are exact in every type, and differ, so that code that takes one twice is noticed.
            (Meaning::Part, Share::First) => array.mapv(|x| 2.0 * x),
            (Meaning::Part, Share::Second) => array.mapv(|x| -x),
        }
    }
}

/// An array of a layout: rows of pieces below each other, one list for each direction or layer.
#[derive(Clone, Debug)]
struct Target {
    name: String,
    lists: Vec<Vec<Piece>>,
    /// The lists lie along an axis of their own, the first one.
    is_stacked: bool,
    /// A matrix with a row for each number that it reads.
    is_transposed: bool,
    /// The samples are before the steps.
    is_batch_first: bool,
}

impl Target {
    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.lists.iter().flatten()
    }
}

/// The arrays of a layout for a recurrence.
#[derive(Clone, Debug)]
pub(super) struct Arrangement {
    layout: Layout,
    targets: Vec<Target>,
}

impl Arrangement {
    /// The arrays for the parameters and inputs of a recurrence.
    pub(super) fn of(recurrence: &Recurrence, layout: Layout) -> Result<Self> {
        let mut arrangement = Self {
            layout,
            targets: Vec::new(),
        };
        if layout != Layout::Bptt {
            let cells = Stack::of(recurrence, layout)?;
            arrangement.add_cells(&cells);
            arrangement.add_starts(&cells, recurrence);
            arrangement.add_readout(recurrence);
        }
        let is_batch_first = |rate| layout == Layout::Keras && rate == Rate::Step;
        for leaf in recurrence.tape().leaves() {
            let taken = |p: &Piece| p.name == leaf.name();
            if arrangement
                .targets
                .iter()
                .flat_map(Target::pieces)
                .any(taken)
            {
                continue;
            }
            let (ty, is_input) = (leaf.ty(), leaf.role() == Role::Input);
            let is_sequence =
                is_input && ty.kind == Kind::Real && ty.rate == Rate::Step && ty.shape.rank() == 1;
            let name = match layout {
                Layout::Onnx if leaf.name() == "x" && is_sequence => "X",
                _ => leaf.name(),
            };
            let mut target = arrangement.target(name, vec![vec![Piece::all(leaf.name().into())]]);
            target.is_batch_first = is_batch_first(ty.rate);
            arrangement.targets.push(target);
        }
        Ok(arrangement)
    }

    fn target(&self, name: impl Into<String>, lists: Vec<Vec<Piece>>) -> Target {
        Target {
            name: name.into(),
            lists,
            is_stacked: false,
            is_transposed: false,
            is_batch_first: false,
        }
    }

    fn add_cells(&mut self, cells: &Stack) {
        for (n, ways) in cells.layers.iter().enumerate() {
            match self.layout {
                Layout::Pytorch => {
                    for (way, suffix) in ways.iter().enumerate() {
                        let end = format!("_l{n}{}", if way == 1 { "_reverse" } else { "" });
                        self.add_pytorch(&end, suffix, cells);
                    }
                }
                Layout::Onnx => self.add_onnx(n, ways, cells),
                Layout::Keras => {
                    for (way, suffix) in ways.iter().enumerate() {
                        let layer = cells.kind.layer();
                        let count = if n > 0 {
                            format!("_{n}")
                        } else {
                            String::new()
                        };
                        let folder = match (ways.len(), way) {
                            (1, _) => format!("{layer}{count}/{layer}_cell"),
                            (_, 0) => format!("bidirectional{count}/forward_{layer}/{layer}_cell"),
                            _ => format!("bidirectional{count}/backward_{layer}/{layer}_cell"),
                        };
                        self.add_keras(&folder, suffix, cells);
                    }
                }
                Layout::Bptt => {}
            }
        }
    }

    fn add_pytorch(&mut self, end: &str, suffix: &str, cells: &Stack) {
        let gates = cells.kind.gates(self.layout);
        for (name, list) in [
            ("weight_ih", matrices(gates, suffix, |g| g.of_input)),
            ("weight_hh", matrices(gates, suffix, |g| g.of_state)),
            ("bias_ih", first_biases(gates, suffix)),
            ("bias_hh", second_biases(gates, suffix)),
        ] {
            let target = self.target(format!("{name}{end}"), vec![list]);
            self.targets.push(target);
        }
    }

    fn add_onnx(&mut self, layer: usize, ways: &[String], cells: &Stack) {
        let gates = cells.kind.gates(self.layout);
        let end = match cells.layers.len() {
            1 => String::new(),
            _ => format!("_{}", layer + 1),
        };
        let biases = |s: &str| {
            let mut list = first_biases(gates, s);
            list.extend(second_biases(gates, s));
            list
        };
        let of = |list: &dyn Fn(&str) -> Vec<Piece>| ways.iter().map(|s| list(s)).collect();
        let peepholes = cells.kind.peepholes();
        let mut arrays: Vec<(&str, Vec<Vec<Piece>>)> = vec![
            ("W", of(&|s| matrices(gates, s, |g| g.of_input))),
            ("R", of(&|s| matrices(gates, s, |g| g.of_state))),
            ("B", of(&biases)),
        ];
        if !peepholes.is_empty() {
            let named = |s: &str| {
                let names = peepholes.iter().map(|p| format!("{p}{s}"));
                names.map(Piece::all).collect()
            };
            arrays.push(("P", of(&named)));
        }
        for (name, lists) in arrays {
            let mut target = self.target(format!("{name}{end}"), lists);
            target.is_stacked = true;
            self.targets.push(target);
        }
    }

    fn add_keras(&mut self, folder: &str, suffix: &str, cells: &Stack) {
        let gates = cells.kind.gates(self.layout);
        for (end, list) in [
            ("kernel", matrices(gates, suffix, |g| g.of_input)),
            ("recurrent_kernel", matrices(gates, suffix, |g| g.of_state)),
        ] {
            let mut target = self.target(format!("{folder}/{end}"), vec![list]);
            target.is_transposed = true;
            self.targets.push(target);
        }
        let has_two = gates.iter().any(|g| g.second_bias.is_some());
        let lists = match has_two {
            true => vec![first_biases(gates, suffix), second_biases(gates, suffix)],
            false => vec![matrices(gates, suffix, |g| g.bias)],
        };
        let mut bias = self.target(format!("{folder}/bias"), lists);
        bias.is_stacked = has_two;
        self.targets.push(bias);
    }

    /// The inputs at which states start, if all of a kind do.
    fn add_starts(&mut self, cells: &Stack, recurrence: &Recurrence) {
        if self.layout == Layout::Keras {
            return;
        }
        let named = |state: &str, suffix: &str| {
            let names = [format!("{state}0{suffix}"), format!("{state}{suffix}0")];
            names
                .into_iter()
                .find(|name| recurrence.inputs().any(|input| input == name))
        };
        let several = cells.layers.len() > 1;
        for state in cells.kind.states() {
            let of_layer = |ways: &Vec<String>| -> Option<Vec<Vec<Piece>>> {
                let pieces = ways
                    .iter()
                    .map(|s| Some(vec![Piece::all(named(state, s)?)]));
                pieces.collect()
            };
            let layers: Option<Vec<_>> = cells.layers.iter().map(of_layer).collect();
            let Some(layers) = layers else { continue };
            let targets = match self.layout {
                Layout::Pytorch => vec![(format!("{state}_0"), layers.concat())],
                _ => (1..)
                    .zip(layers)
                    .map(|(n, lists)| match several {
                        true => (format!("initial_{state}_{n}"), lists),
                        false => (format!("initial_{state}"), lists),
                    })
                    .collect(),
            };
            for (name, lists) in targets {
                let mut target = self.target(name, lists);
                target.is_stacked = true;
                self.targets.push(target);
            }
        }
    }

    fn add_readout(&mut self, recurrence: &Recurrence) {
        let has = |name: &str| recurrence.parameters().any(|p| p == name);
        let (matrix, vector) = match self.layout {
            Layout::Pytorch => ("weight", "bias"),
            Layout::Keras => ("dense/kernel", "dense/bias"),
            _ => return,
        };
        if has("W_O") && has("b_q") {
            let piece = |name: &str| vec![vec![Piece::all(name.into())]];
            let mut weight = self.target(matrix, piece("W_O"));
            weight.is_transposed = self.layout == Layout::Keras;
            let bias = self.target(vector, piece("b_q"));
            self.targets.extend([weight, bias]);
        }
    }

    /// The arrays of the layout that are made of ours; those for which we have none are left out.
    pub(super) fn arrays<'a>(
        &self,
        meaning: Meaning,
        ours: &dyn Fn(&str) -> Option<&'a ArrayD<f64>>,
    ) -> Result<Vec<(String, ArrayD<f64>)>> {
        let mut arrays = Vec::new();
        for target in &self.targets {
            if let Some(array) = made(target, meaning, ours)? {
                arrays.push((target.name.clone(), array));
            }
        }
        Ok(arrays)
    }

    /// The names of the arrays of the layout with the largest bound of their pieces.
    pub(super) fn bounds(&self, ours: &dyn Fn(&str) -> Option<f64>) -> Vec<(String, f64)> {
        let bound = |target: &Target| {
            let bounds: Option<Vec<f64>> = target.pieces().map(|p| ours(&p.name)).collect();
            let largest = bounds?.into_iter().fold(0.0, f64::max);
            Some((target.name.clone(), largest))
        };
        self.targets.iter().filter_map(bound).collect()
    }

    /// An array whose first axes are steps and samples, as the layout has them.
    pub(super) fn axes<E: Clone>(&self, array: ArrayViewD<'_, E>, rate: Rate) -> ArrayD<E> {
        match self.layout {
            Layout::Keras if rate == Rate::Step => batch_first(array),
            _ => array.to_owned(),
        }
    }

    /// Returns true for the matrices of the states if all layers have one size.
    pub(super) fn has_one_size(&self, name: &str) -> bool {
        self.layout == Layout::Pytorch && name.starts_with("weight_hh_l")
    }

    /// The lengths of the samples as an input of the layout.
    pub(super) const fn lengths(&self) -> Option<&'static str> {
        match self.layout {
            Layout::Onnx => Some("sequence_lens"),
            _ => None,
        }
    }

    /// The input with 1 at the steps of a sample and 0 beyond its length.
    pub(super) const fn mask(&self) -> Option<&'static str> {
        match self.layout {
            Layout::Keras => Some("mask"),
            _ => None,
        }
    }
}

fn batch_first<E: Clone>(mut array: ArrayViewD<'_, E>) -> ArrayD<E> {
    array.swap_axes(0, 1);
    array.as_standard_layout().into_owned()
}

fn matrices(gates: &[Gate], suffix: &str, name: fn(&Gate) -> &'static str) -> Vec<Piece> {
    let named = gates.iter().map(|g| format!("{}{suffix}", name(g)));
    named.map(Piece::all).collect()
}

fn first_biases(gates: &[Gate], suffix: &str) -> Vec<Piece> {
    let piece = |g: &Gate| Piece {
        name: format!("{}{suffix}", g.bias),
        share: match g.second_bias {
            Some(_) => Share::All,
            None => Share::First,
        },
    };
    gates.iter().map(piece).collect()
}

fn second_biases(gates: &[Gate], suffix: &str) -> Vec<Piece> {
    let piece = |g: &Gate| match g.second_bias {
        Some(second) => Piece::all(format!("{second}{suffix}")),
        None => Piece {
            name: format!("{}{suffix}", g.bias),
            share: Share::Second,
        },
    };
    gates.iter().map(piece).collect()
}

fn made<'a>(
    target: &Target,
    meaning: Meaning,
    ours: &dyn Fn(&str) -> Option<&'a ArrayD<f64>>,
) -> Result<Option<ArrayD<f64>>> {
    let misfit = |_| Error::Array {
        reason: format!("the parts of `{}` have different shapes", target.name),
    };
    let mut lists = Vec::new();
    for list in &target.lists {
        let pieces = list
            .iter()
            .map(|piece| Some(piece.of(ours(&piece.name)?, meaning)));
        let Some(pieces) = pieces.collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let views: Vec<_> = pieces.iter().map(|p| p.view()).collect();
        lists.push(match &views[..] {
            // A number has no axis to be joined along.
            [one] => one.to_owned(),
            all => concatenate(Axis(0), all).map_err(misfit)?,
        });
    }
    let views: Vec<_> = lists.iter().map(|l| l.view()).collect();
    let array = match (&views[..], target.is_stacked) {
        (all, true) => stack(Axis(0), all).map_err(misfit)?,
        ([one], _) => one.to_owned(),
        (all, _) => concatenate(Axis(0), all).map_err(misfit)?,
    };
    let array = match target.is_transposed {
        true => array.t().as_standard_layout().into_owned(),
        false => array,
    };
    Ok(Some(match target.is_batch_first {
        true => batch_first(array.view()),
        false => array,
    }))
}
