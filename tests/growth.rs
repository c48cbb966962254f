//! What a plan costs: it does not depend on the number of steps, and grows with the graph alone.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::{Duration, Instant};

use bptt::cells::Cell;
use bptt::{Recurrence, Wrt};
use support::instance;

fn stacked(layers: usize) -> Recurrence {
    let model = Recurrence::define("stacked", |r| {
        let hidden = r.dim("H");
        let mut x = r.input("x", [hidden]);
        for layer in 0..layers {
            x = Cell::lstm()
                .suffix(&format!("_{layer}"))
                .apply(r, x, hidden);
        }
        r.loss(x.square().sum());
    });
    model.unwrap().gradient(Wrt::Parameters).unwrap()
}

/// The shortest time of several, since other programs run too.
fn planning(gradient: &Recurrence) -> Duration {
    let time = || {
        let start = Instant::now();
        let program = gradient.compile::<f32>(&[("H", 32)]).unwrap();
        let time = start.elapsed();
        drop(program);
        time
    };
    (0..5).map(|_| time()).min().unwrap()
}

#[test]
fn plans_are_made_quickly() {
    let mut times = Vec::new();
    for (layers, most) in [(1, 5), (2, 10), (10, 40), (50, 200)] {
        let time = planning(&stacked(layers));
        println!("the gradient of {layers} layers of LSTM is planned in {time:?}");
        times.push((layers, time, Duration::from_millis(most)));
    }
    if !cfg!(debug_assertions) {
        for (layers, time, most) in times {
            assert!(time < most, "{layers} layers took {time:?}");
        }
    }
}

#[test]
fn a_plan_does_not_depend_on_the_data() {
    let gradient = stacked(2);
    let plan = |lengths: &[usize]| {
        let (params, batch) = instance(&gradient, &[("H", 3)], lengths, 1);
        let program = gradient.compile_for::<f64>(&params, &batch).unwrap();
        format!("{:?}", program.plan())
    };
    let few = plan(&[2]);
    assert_eq!(few, plan(&[300]), "the number of steps");
    assert_eq!(few, plan(&[5, 1, 9]), "samples and lengths");
}
