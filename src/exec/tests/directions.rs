//! Several directions in one run have the bits of a run for each, for every instruction set and any
//! length of the chunks of time.

use ndarray::{ArrayD, Axis};
use proptest::test_runner::{Config, TestRunner};

use super::super::kernel::Isa;
use super::super::{Program, Real};
use super::strategy::{self, Instance};
use super::timetable::in_any_memory;
use crate::noise::Noise;
use crate::op::Scalar;
use crate::recurrence::{Batch, Params};
use crate::shape::Rate;
use crate::tape::Role;

const COUNT: usize = 3;

type Data<F> = (Params<F>, Batch<F>);

/// Data for all directions, and for each.
fn along<F: Real>(i: &Instance) -> (Data<F>, Vec<Data<F>>) {
    let mut noise = Noise(9);
    let mut all = (i.params.cast::<F>(), i.batch.cast::<F>());
    let mut each = vec![all.clone(); COUNT];
    for leaf in i
        .recurrence
        .tape()
        .leaves()
        .iter()
        .filter(|l| l.derived().is_some())
    {
        let like = i
            .params
            .get(leaf.name())
            .or(i.batch.get(leaf.name()))
            .unwrap();
        let axis = match leaf.ty().rate {
            Rate::Static => 0,
            Rate::Sample => 1,
            Rate::Step => 2,
        };
        let mut shape = like.shape().to_vec();
        shape.insert(axis, COUNT);
        let array = noise.array(&shape).mapv(F::of);
        let put = |(params, batch): &mut Data<F>, a: ArrayD<F>| match leaf.role() {
            Role::Parameter => params.insert(leaf.name(), a),
            Role::Input => batch.insert(leaf.name(), a),
        };
        for (lane, data) in each.iter_mut().enumerate() {
            put(data, array.index_axis(Axis(axis), lane).to_owned());
        }
        put(&mut all, array);
    }
    (all, each)
}

fn compare<F: Real>(i: &Instance) {
    let r = &i.recurrence;
    let ((params, batch), each) = along::<F>(i);
    let program = r.compile_for::<F>(&each[0].0, &each[0].1).unwrap();
    let several = program.clone().directions(COUNT).unwrap();
    let bits = |x: &F| Scalar::to_f64(*x).to_bits();
    for isa in Isa::available() {
        for chunk in [1, 2, 3, 5, usize::MAX] {
            let set = |p: &Program<F>| p.clone().on(*isa).in_chunks_of(chunk);
            let all = set(&several).evaluate(&params, &batch).unwrap();
            if *isa == Isa::detect() && chunk < 4 {
                in_any_memory(&set(&several), &all, &params, &batch);
            }
            for (lane, (params, batch)) in each.iter().enumerate() {
                let one = set(&program).evaluate(params, batch).unwrap();
                for (name, one) in one.iter() {
                    let all = match r.output_type(name).unwrap().rate {
                        _ if all[name].ndim() == one.ndim() => all[name].view(),
                        Rate::Static => all[name].index_axis(Axis(0), lane),
                        Rate::Sample => all[name].index_axis(Axis(1), lane),
                        Rate::Step => all[name].index_axis(Axis(2), lane),
                    };
                    assert_eq!(
                        all.map(bits),
                        one.map(bits),
                        "`{name}` in direction {lane}, {} in chunks of {chunk}\n{r}",
                        isa.name()
                    );
                }
            }
        }
    }
}

fn for_all(cases: u32, order: usize) {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let test = |i: Instance| {
        let i = i.order(order);
        compare::<f64>(&i);
        compare::<f32>(&i);
        Ok(())
    };
    runner.run(&strategy::recurrence(), test).unwrap();
}

#[test]
fn tangents_in_several_directions_have_the_bits_of_each() {
    for_all(12, 2);
}

#[test]
fn hessian_products_in_several_directions_have_the_bits_of_each() {
    for_all(12, 3);
}
