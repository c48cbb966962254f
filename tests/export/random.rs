//! Random recurrences.

use bptt::{Batch, Error, Kind, Recurrence, Role, Wrt};
use bptt_testing::random::{Instance, recurrence};
use ndarray::Axis;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::compiler::{assert_close, compilers, outputs_of, run};

/// The first sample alone.
fn first_sample(r: &Recurrence, batch: &Batch<f64>) -> Batch<f64> {
    let steps = batch.lengths().next().unwrap_or(batch.steps());
    let mut own = Batch::new(steps, 1);
    for leaf in r.tape().leaves().iter().filter(|l| l.role() == Role::Input) {
        let axis = usize::from(leaf.ty().rate == bptt::Rate::Step);
        match leaf.ty().kind {
            Kind::Class(_) => {
                let mut a = batch.classes(leaf.name()).unwrap().clone();
                a.slice_axis_inplace(Axis(axis), (0..1).into());
                if axis == 1 {
                    a.slice_axis_inplace(Axis(0), (0..steps as isize).into());
                }
                own = own.with_classes(leaf.name(), a);
            }
            Kind::Real => {
                let mut a = batch.get(leaf.name()).unwrap().clone();
                a.slice_axis_inplace(Axis(axis), (0..1).into());
                if axis == 1 {
                    a.slice_axis_inplace(Axis(0), (0..steps as isize).into());
                }
                own = own.with(leaf.name(), a);
            }
        }
    }
    own
}

/// The data of a recurrence and ones for the directions that a derivative adds.
fn agrees(
    derived: &Recurrence,
    i: &Instance,
    batch: &Batch<f64>,
    (compiler, title): (&str, &str),
) -> bool {
    let mut params = i.params.clone();
    for name in derived.parameters() {
        if let (None, Some((of, _))) = (params.get(name), name.rsplit_once('.')) {
            let direction = params.get(of).unwrap().mapv(|x| 0.5 - x);
            params.insert(name, direction);
        }
    }
    let program = derived.compile_for::<f64>(&params, batch).unwrap();
    let function = bptt::export::Function::Whole("run".into());
    if let Err(Error::NotExportable { .. }) =
        program.export(bptt::export::Language::C, "r", &function)
    {
        return false;
    }
    let Ok(found) = program.evaluate(&params, batch) else {
        return false;
    };
    let expected = outputs_of(&program, &found);
    let found = run(
        (&program, "run", &["-O1"]),
        (&params, batch),
        compiler,
        title,
    );
    assert_close(&found, &expected, 1e-13, &format!("{title}\n{derived}"));
    true
}

#[test]
fn random_recurrences_agree_with_the_engine() {
    let Some(compiler) = compilers().first().copied() else {
        return;
    };
    let count = std::env::var("BPTT_EXPORTS").map_or(40, |n| n.parse().unwrap());
    let mut runner = TestRunner::deterministic();
    let mut compared = 0;
    for index in 0..count {
        let i = recurrence().new_tree(&mut runner).unwrap().current();
        let batch = first_sample(&i.recurrence, &i.batch);
        let derived = match index % 4 {
            0 => i.recurrence.gradient(Wrt::Everything),
            1 => i.recurrence.hessian_vector(Wrt::Parameters),
            2 => i.recurrence.tangent(Wrt::Parameters),
            _ => Ok(i.recurrence.clone()),
        };
        let title = format!("random-{index}");
        compared += usize::from(agrees(&derived.unwrap(), &i, &batch, (compiler, &title)));
    }
    assert!(
        compared * 2 > count,
        "{compared} of {count} could be exported"
    );
}
