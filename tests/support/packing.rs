//! Sequences as separate samples, and packed into rows.

use bptt::{Batch, Kind, Params, Rate, Recurrence, Role, Wrt};
use bptt_testing::random::Instance;
use ndarray::{ArrayD, Axis, IxDyn};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// Each sequence starts directly after the one before.
    Tight,
    /// With masked steps after the first step of each sequence, and a masked sequence after each sequence.
    WithHoles,
}

/// Sequences and their positions in rows.
pub(crate) struct Packing {
    instance: Instance,
    /// The length of each sequence; its row and the positions of its steps in the row.
    lengths: Vec<usize>,
    places: Vec<(usize, Vec<usize>)>,
    /// The length of each row.
    rows: Vec<usize>,
    /// The steps of each row at which a sequence starts.
    begins: Vec<Vec<usize>>,
}

impl Packing {
    /// Packs the samples of an instance into rows; samples in the same row get the same inputs per sample.
    pub(crate) fn new(i: &Instance, rows: usize, sizes: Sizes) -> Self {
        let lengths: Vec<usize> = i.batch.lengths().collect();
        let rows = rows.min(lengths.len());
        let mut packing = Self {
            instance: i.clone(),
            lengths: lengths.clone(),
            places: Vec::new(),
            rows: vec![0; rows],
            begins: vec![Vec::new(); rows],
        };
        for (b, length) in lengths.into_iter().enumerate() {
            let row = b % rows;
            let end = &mut packing.rows[row];
            packing.begins[row].push(*end);
            let hole = usize::from(sizes == Sizes::WithHoles);
            let step = |t: usize| *end + t + if t > 0 { hole } else { 0 };
            packing.places.push((row, (0..length).map(step).collect()));
            *end += length + hole;
            if sizes == Sizes::WithHoles {
                packing.begins[row].push(*end);
                *end += 2;
            }
        }
        for leaf in i.recurrence.tape().leaves() {
            if leaf.ty().rate == Rate::Sample {
                packing.share(leaf.name());
            }
        }
        packing
    }

    /// Gives all sequences of a row the same value of an input.
    fn share(&mut self, name: &str) {
        let places = &self.places;
        let first = |b: usize| {
            places
                .iter()
                .position(|(row, _)| *row == places[b].0)
                .unwrap()
        };
        let batch = self.instance.batch.clone();
        self.instance.batch = match (batch.get(name), batch.classes(name)) {
            (Some(a), _) => batch.clone().with(name, rowwise(a, first)),
            (_, Some(a)) => batch.clone().with_classes(name, rowwise(a, first)),
            _ => batch,
        };
    }

    fn steps(&self) -> usize {
        self.rows.iter().copied().max().unwrap()
    }

    /// The sequences as separate samples, with directions for derivatives that take some.
    pub(crate) fn alone(&self, r: &Recurrence) -> Instance {
        let mut out = self.instance.clone();
        out.recurrence = r.clone();
        let mut numbers = super::random::Numbers(7);
        for leaf in r.tape().leaves() {
            if !leaf.name().ends_with(".dot") {
                continue;
            }
            let name = leaf.name().trim_end_matches(".dot");
            let like = self.instance.params.get(name);
            let like = like.or_else(|| self.instance.batch.get(name)).unwrap();
            let direction = numbers.array(like.shape());
            match leaf.role() {
                Role::Parameter => out.params.insert(leaf.name(), direction),
                Role::Input => out.batch = out.batch.with(leaf.name(), direction),
            }
            if leaf.ty().rate == Rate::Sample {
                let mut shared = Self {
                    instance: out,
                    ..self.bare()
                };
                shared.share(leaf.name());
                out = shared.instance;
            }
        }
        out
    }

    fn bare(&self) -> Self {
        Self {
            instance: self.instance.clone(),
            lengths: self.lengths.clone(),
            places: self.places.clone(),
            rows: self.rows.clone(),
            begins: self.begins.clone(),
        }
    }

    /// The sequences packed into rows.
    pub(crate) fn packed(&self, r: &Recurrence) -> Instance {
        let alone = self.alone(r);
        let mut batch = Batch::new(self.steps(), self.rows.len()).with_lengths(self.rows.clone());
        let flags = |steps: &dyn Fn(usize) -> Vec<usize>| {
            let mut a = ArrayD::zeros(IxDyn(&[self.steps(), self.rows.len()]));
            for row in 0..self.rows.len() {
                steps(row).into_iter().for_each(|t| a[[t, row]] = 1.0);
            }
            a
        };
        for leaf in r.tape().leaves() {
            let (name, rate) = (leaf.name(), leaf.ty().rate);
            batch = match (leaf.role(), leaf.ty().kind) {
                (Role::Parameter, _) => batch,
                // The first sequence of a row starts without a reset.
                _ if name == "reset" => {
                    let begins = |row: usize| self.begins[row].iter().copied().skip(row).collect();
                    batch.with(name, flags(&begins))
                }
                _ if name == "again" => batch,
                _ if name == "active" => {
                    let of = |row: usize| self.places.iter().filter(move |p| p.0 == row);
                    let active = |row: usize| of(row).flat_map(|p| p.1.clone()).collect();
                    batch.with(name, flags(&active))
                }
                (_, Kind::Real) => {
                    let a = alone.batch.get(name).unwrap();
                    batch.with(name, self.pack(a, rate, 0.75))
                }
                (_, Kind::Class(_)) => {
                    let a = alone.batch.classes(name).unwrap();
                    batch.with_classes(name, self.pack(a, rate, 0))
                }
            };
        }
        let params: Params<f64> = alone.params;
        Instance {
            recurrence: r.clone(),
            params,
            batch,
        }
    }

    fn pack<T: Copy>(&self, a: &ArrayD<T>, rate: Rate, filler: T) -> ArrayD<T> {
        if rate != Rate::Step {
            let first = |row: usize| self.places.iter().position(|p| p.0 == row).unwrap();
            let rows: Vec<usize> = (0..self.rows.len()).map(first).collect();
            return a.select(Axis(0), &rows);
        }
        let mut shape = a.shape().to_vec();
        shape[..2].copy_from_slice(&[self.steps(), self.rows.len()]);
        let mut packed = ArrayD::from_elem(IxDyn(&shape), filler);
        for (b, (row, steps)) in self.places.iter().enumerate() {
            for (t, at) in steps.iter().enumerate() {
                let value = a
                    .index_axis(Axis(0), t)
                    .index_axis_move(Axis(0), b)
                    .to_owned();
                let part = packed.index_axis_mut(Axis(0), *at);
                part.index_axis_move(Axis(0), *row).assign(&value);
            }
        }
        packed
    }

    /// The largest difference in an output. After packing, a value per sample is a value per step, or, for a
    /// gradient with respect to an input of the row, the sum over the sequences of the row.
    pub(crate) fn distance(
        &self,
        (alone, rate): (&ArrayD<f64>, Rate),
        (packed, packed_rate): (&ArrayD<f64>, Rate),
    ) -> f64 {
        let size = |a: &ArrayD<f64>| {
            a.iter()
                .fold(0.0_f64, |m, x| if x.abs() <= m { m } else { x.abs() })
        };
        let place = |a: &ArrayD<f64>, t: usize, b: usize| row(&row(a, t), b);
        match (rate, packed_rate) {
            (Rate::Static, Rate::Static) => size(&(alone - packed)),
            (Rate::Sample, Rate::Sample) => {
                let mut sums = ArrayD::zeros(packed.raw_dim());
                for (b, (to, _)) in self.places.iter().enumerate() {
                    let mut sum = sums.index_axis_mut(Axis(0), *to);
                    sum += &alone.index_axis(Axis(0), b);
                }
                size(&(&sums - packed))
            }
            (_, Rate::Step) => {
                let mut worst = 0.0_f64;
                let mut rest = packed.clone();
                for (b, (to, at)) in self.places.iter().enumerate() {
                    for (t, at) in at.iter().enumerate() {
                        let expected = match rate {
                            Rate::Step => place(alone, t, b),
                            _ => row(alone, b),
                        };
                        worst = worst.max(size(&(&expected - &place(packed, *at, *to))));
                        let step = rest.index_axis_mut(Axis(0), *at);
                        step.index_axis_move(Axis(0), *to).fill(0.0);
                    }
                }
                // A value per step is zero outside the sequences.
                match rate {
                    Rate::Step => worst.max(size(&rest)),
                    _ => worst,
                }
            }
            (rate, found) => panic!("a value of rate {rate:?} became one of rate {found:?}"),
        }
    }
}

fn row(a: &ArrayD<f64>, b: usize) -> ArrayD<f64> {
    a.index_axis(Axis(0), b).to_owned()
}

/// The rate of each output.
pub(crate) fn rates(r: &Recurrence) -> Vec<Rate> {
    let outputs: Vec<&str> = r.outputs().collect();
    // The cotangents of the outputs are the last inputs of a pullback.
    let pullback = r.pullback(&outputs, Wrt::Names(&[])).unwrap();
    let leaves = pullback.tape().leaves();
    let bars = leaves[leaves.len() - outputs.len()..].iter();
    bars.map(|leaf| leaf.ty().rate).collect()
}

fn rowwise<T: Clone>(a: &ArrayD<T>, first: impl Fn(usize) -> usize) -> ArrayD<T> {
    let samples: Vec<usize> = (0..a.len_of(Axis(0))).map(first).collect();
    a.select(Axis(0), &samples)
}
