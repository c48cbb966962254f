use bptt::cells::{Cell, Loss, Start};
use bptt::*;
use ndarray::*;
#[test]
fn smoke() {
    let rec = Cell::lstm()
        .start(Start::Input)
        .model("lstm", Loss::SquaredError)
        .unwrap();
    println!("{rec}");
    let g = rec.gradient(Wrt::Everything).unwrap();
    println!("{g}\n{}", g.tape());
    let mut s = 1u64;
    let mut rnd = || {
        s = s
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((s >> 33) as f64 / 2f64.powi(31)) - 0.5
    };
    let (h, k, o, t, b) = (3, 2, 4, 5, 2);
    let mut p = Params::<f64>::new();
    for name in rec.parameters() {
        let shape: Vec<usize> = match name.chars().next().unwrap() {
            'U' => vec![h, h],
            'b' if name == "b_q" => vec![o],
            'b' => vec![h],
            'W' if name == "W_O" => vec![o, h],
            _ => vec![h, k],
        };
        p.insert(name, ArrayD::from_shape_simple_fn(shape, &mut rnd));
    }
    let batch = Batch::new(t, b)
        .with("x", ArrayD::from_shape_simple_fn(vec![t, b, k], &mut rnd))
        .with("y", ArrayD::from_shape_simple_fn(vec![t, b, o], &mut rnd))
        .with("h0", ArrayD::from_shape_simple_fn(vec![b, h], &mut rnd))
        .with("c0", ArrayD::from_shape_simple_fn(vec![b, h], &mut rnd))
        .with_lengths([5, 3]);
    let out = g.evaluate(&p, &batch).unwrap();
    let tape = rec
        .unroll_for(&p, &batch)
        .unwrap()
        .gradient(Wrt::Everything)
        .unwrap()
        .evaluate(&p, &batch)
        .unwrap();
    for (name, a) in out.iter() {
        assert!((a - &tape[name]).iter().all(|x| x.abs() < 1e-14), "{name}");
    }
    for (name, a) in out.iter() {
        if name == "loss" {
            continue;
        }
        let mut worst = 0f64;
        for (i, v) in a.indexed_iter() {
            let f = |e: f64| {
                let mut p = p.clone();
                let mut b = batch.clone();
                if let Some(q) = p.get_mut(name) {
                    q[&i] += e
                } else {
                    b.get_mut(name).unwrap()[&i] += e
                };
                rec.evaluate(&p, &b).unwrap().loss().unwrap()
            };
            let fd = (f(1e-5) - f(-1e-5)) / 2e-5;
            worst = worst.max((fd - v).abs());
        }
        println!("{name} {:?} {worst:e}", a.shape());
        assert!(worst < 1e-8);
    }
}
#[test]
fn certificate() {
    let r = Recurrence::define("leaky", |r| {
        let (a, b) = (r.param("a", ()), r.param("b", ()));
        let s = r.state_from("s", r.sample_input("s0", ()));
        let s = r.next(s, (a * s + b * r.input("x", ())).tanh());
        r.loss(s.squared_error(r.input("y", ())));
    })
    .unwrap();
    let params = Params::new().with("a", arr0(0.8)).with("b", arr0(-0.6));
    let batch = Batch::new(4, 1)
        .with("s0", array![0.3])
        .with("x", array![[0.5], [-1.0], [0.25], [2.0]])
        .with("y", array![[0.1], [0.2], [-0.3], [0.4]]);
    let c = bptt::check(&r, &params, &batch).unwrap();
    println!("{c}");
    assert!(c.passed());
}
