//! Every row of the op table: value, tangent, transpose, second order and printing.
//!
//! `data/op_values.csv` was made with mpmath at 60 digits: each argument is the exact value of
//! the double that is written, and results are printed to 30 digits. The partials of a vector row
//! are those of its first entry (`logsumexp`: of its only one).

use bptt::{Batch, Definition, Expr, Op, Params, Rate, Recurrence, Role, concat, ops};
use ndarray::{ArrayD, IxDyn};

type Case = (&'static str, fn(&Definition));

fn finish(r: &Definition, y: Expr<'_>) {
    r.output("y", y);
    r.loss(y.square().sum());
}

/// One definition for each row that is not pointwise. The transposes that cannot be written by
/// hand (`pad`, `scatter`, `impulse`) occur in the gradients of the others.
const CASES: &[Case] = &[
    ("logsumexp", |r| finish(r, r.param("a", [3]).logsumexp())),
    ("softmax", |r| finish(r, r.param("a", [3]).softmax())),
    ("log_softmax", |r| {
        finish(r, r.param("a", [3]).log_softmax());
    }),
    ("matmul", |r| {
        finish(r, r.param("a", [2, 3]).dot(r.param("b", [3])));
    }),
    ("matmul", |r| {
        finish(r, r.param("a", [2, 3]).dot(r.param("b", [3, 2])));
    }),
    ("dot", |r| {
        finish(r, r.param("a", [3]).dot(r.param("b", [3])));
    }),
    ("dot", |r| {
        finish(r, r.param("a", [3, 2]).inner(r.param("b", [3, 2])));
    }),
    ("outer", |r| {
        finish(r, r.param("a", [3]).outer(r.param("b", [2])));
    }),
    ("transpose", |r| finish(r, r.param("a", [3, 2]).t())),
    ("sum", |r| finish(r, r.param("a", [3, 2]).sum())),
    ("sum", |r| {
        finish(r, r.param("a", [3, 2]).sum_axis(bptt::Axis::Rows));
    }),
    ("sum", |r| {
        finish(r, r.param("a", [3, 2]).sum_axis(bptt::Axis::Columns));
    }),
    ("broadcast", |r| finish(r, r.param("a", ()).spread([3, 2]))),
    ("broadcast", |r| {
        finish(r, r.param("a", [3]).repeat(bptt::Axis::Rows, 2));
    }),
    ("concat", |r| {
        finish(r, concat([r.param("a", [3]), r.param("b", [2])]));
    }),
    ("slice", |r| finish(r, r.param("a", [4]).slice(1, 2))),
    ("slice", |r| {
        finish(r, r.param("a", [3, 4]).slice_columns(1, 2));
    }),
    ("gather", |r| {
        finish(r, r.param("a", [3, 2]).gather(r.class("c", 3)));
    }),
    ("gather", |r| {
        finish(r, r.param("a", [2, 3]).gather_column(r.class("c", 3)));
    }),
    ("select", |r| {
        let c = r.param("c", [3]);
        let on = c.full_like(0.0).less(c);
        finish(r, on.select(r.param("a", [3]), r.param("b", [3])));
    }),
    ("hold", |r| {
        finish(r, r.sample_input("a", [2]) * r.input("b", [2]));
    }),
    ("total", |r| {
        finish(r, r.input("a", [2]).total(Rate::Sample));
    }),
    ("total", |r| {
        finish(r, r.input("a", [2]).total(Rate::Static));
    }),
    ("pick", |r| finish(r, r.input("a", [2]).first())),
    ("pick", |r| finish(r, r.input("a", [2]).last())),
];

fn pointwise(op: ops::Pointwise) -> Recurrence {
    Recurrence::define(op.name(), |r| {
        let a = r.param("a", [4]);
        let y = if op.arity() == 1 {
            unary(op, a)
        } else {
            binary(op, a, r.param("b", [4]))
        };
        finish(r, y);
    })
    .expect("it is sound")
}

/// Panics for a row without a case here.
fn unary<'b>(op: ops::Pointwise, x: Expr<'b>) -> Expr<'b> {
    match op.name() {
        "neg" => -x,
        "recip" => x.recip(),
        "exp" => x.exp(),
        "ln" => x.ln(),
        "sqrt" => x.sqrt(),
        "square" => x.square(),
        "powi" => x.powi(3),
        "sin" => x.sin(),
        "cos" => x.cos(),
        "tanh" => x.tanh(),
        "sigmoid" => x.sigmoid(),
        "relu" => x.relu(),
        "softplus" => x.softplus(),
        "abs" => x.abs(),
        "sign" => x.sign(),
        other => panic!("`{other}` has no test"),
    }
}

fn binary<'b>(op: ops::Pointwise, a: Expr<'b>, b: Expr<'b>) -> Expr<'b> {
    match op.name() {
        "add" => a + b,
        "sub" => a - b,
        "mul" => a * b,
        "div" => a / b,
        "powf" => a.powf(b),
        "max" => a.max(b),
        "min" => a.min(b),
        "less" => a.less(b),
        "less_eq" => a.less_eq(b),
        "equal" => a.equal(b),
        other => panic!("`{other}` has no test"),
    }
}

#[derive(Clone)]
struct Data(Params<f64>, Batch<f64>);

/// Distinct numbers for the leaves of `r` that `take` accepts; none is at a kink.
fn fill(
    r: &Recurrence,
    mut d: Data,
    ranges: &[(f64, f64)],
    take: fn(&str) -> bool,
    salt: usize,
) -> Data {
    for (n, leaf) in r
        .tape()
        .leaves()
        .iter()
        .enumerate()
        .filter(|(_, l)| take(l.name()))
    {
        let outer: &[usize] = match leaf.ty().rate {
            Rate::Static => &[],
            Rate::Sample => &[2],
            Rate::Step => &[3, 2],
        };
        let own = leaf.ty().shape.dims();
        let own = own.iter().map(|n| n.as_fixed().expect("fixed sizes"));
        let shape: Vec<usize> = outer.iter().copied().chain(own).collect();
        if !leaf.ty().is_real() {
            let mut i = 0;
            let classes = ArrayD::from_shape_simple_fn(IxDyn(&shape), || {
                i += 1;
                (2 * i) % 3
            });
            d.1 = d.1.with_classes(leaf.name(), classes);
            continue;
        }
        let (lo, hi) = ranges.get(n).copied().unwrap_or((-1.5, 1.5));
        let mut i = salt;
        let next = || {
            i += 1;
            let k = u32::try_from((7 * i + 3 * n) % 16).expect("small");
            lo + (hi - lo) * (f64::from(k) + if n == 0 { 0.25 } else { 0.75 }) / 16.0
        };
        let array = ArrayD::from_shape_simple_fn(IxDyn(&shape), next);
        match leaf.role() {
            Role::Parameter => d.0.insert(leaf.name(), array),
            Role::Input => d.1 = d.1.with(leaf.name(), array),
        }
    }
    d
}

impl Data {
    fn array(&self, name: &str) -> &ArrayD<f64> {
        self.0
            .get(name)
            .or_else(|| self.1.get(name))
            .expect("it is there")
    }
    fn moved(&self, v: &Self, s: f64, names: &[&str]) -> Self {
        let mut d = self.clone();
        for n in names {
            let step = v.array(&format!("{n}.dot")) * s;
            match d.0.get_mut(n) {
                Some(a) => *a += &step,
                None => *d.1.get_mut(n).expect("it is there") += &step,
            }
        }
        d
    }
    fn run(&self, r: &Recurrence) -> bptt::Outputs<f64> {
        r.evaluate(&self.0, &self.1).expect("it runs")
    }
}

fn dot(a: &ArrayD<f64>, b: &ArrayD<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn check(r: &Recurrence, ranges: &[(f64, f64)]) {
    let empty = Data(Params::new(), Batch::new(3, 2));
    let x = fill(r, empty, ranges, |_| true, 0);
    let names: Vec<&str> = ["a", "b"]
        .into_iter()
        .filter(|n| r.tape().named(n).is_some())
        .collect();
    let wrt = bptt::Wrt::Names(&names);
    let tangent = r.tangent(wrt).expect("it has one");
    let seeds = |n: &str| n.ends_with(".dot");
    let v = fill(&tangent, x.clone(), &[], seeds, 5);
    let jv = v.run(&tangent)["y.dot"].clone();
    let slope = |h: f64| {
        (&x.moved(&v, h, &names).run(r)["y"] - &x.moved(&v, -h, &names).run(r)["y"]) / (2.0 * h)
    };
    let expected = (slope(1e-3) * 4.0 - slope(2e-3)) / 3.0;
    for (a, b) in jv.iter().zip(&expected) {
        assert!(
            (a - b).abs() <= 1e-8 * (1.0 + b.abs()),
            "{r}tangent {a} {b}"
        );
    }
    let pullback = r.pullback(&["y"], wrt).expect("it has one");
    let u = fill(&pullback, x.clone(), &[], |n| n.ends_with(".bar"), 9);
    let found = u.run(&pullback);
    let left = dot(u.array("y.bar"), &jv);
    let right: f64 = names
        .iter()
        .map(|n| dot(&found[n], v.array(&format!("{n}.dot"))))
        .sum();
    assert!(
        (left - right).abs() <= 1e-12 * (1.0 + left.abs()),
        "{r}transpose {left} {right}"
    );
    let (hessian, gradient) = (
        r.hessian_vector(wrt).expect("one"),
        r.gradient(wrt).expect("one"),
    );
    let w = fill(&tangent, x.clone(), &[], seeds, 11);
    let (hv, hw) = (v.run(&hessian), w.run(&hessian));
    let (mut vhw, mut whv) = (0.0, 0.0);
    for n in &names {
        let g = |s: f64| x.moved(&v, s, &names).run(&gradient)[n].clone();
        let expected = ((g(1e-3) - g(-1e-3)) * 4.0 / 2e-3 - (g(2e-3) - g(-2e-3)) / 4e-3) / 3.0;
        for (a, b) in hv[n].iter().zip(&expected) {
            assert!(
                (a - b).abs() <= 1e-7 * (1.0 + b.abs()),
                "{r}second order {a} {b}"
            );
        }
        vhw += dot(&hw[n], v.array(&format!("{n}.dot")));
        whv += dot(&hv[n], w.array(&format!("{n}.dot")));
    }
    assert!(
        (vhw - whv).abs() <= 1e-12 * (1.0 + vhw.abs()),
        "{r}symmetry {vhw} {whv}"
    );
    assert!(r.to_string().contains("y = "), "{r}");
}

#[test]
fn derivatives_of_every_pointwise_row() {
    for op in ops::Pointwise::ALL {
        check(&pointwise(*op), op.sample());
    }
}

#[test]
fn derivatives_of_every_other_row() {
    let mut seen: Vec<String> = Vec::new();
    for (name, f) in CASES {
        let r = Recurrence::define(name, f).expect("it is sound");
        check(&r, &[]);
        let g = r.gradient(bptt::Wrt::Everything).expect("it has one");
        let ops = |r: &Recurrence| {
            r.tape()
                .nodes()
                .map(|(_, n)| n.op().name().to_owned())
                .collect::<Vec<_>>()
        };
        assert!(
            ops(&r).iter().any(|n| n == name),
            "{name} does not occur in\n{}",
            r.tape()
        );
        seen.extend(ops(&r));
        seen.extend(ops(&g));
    }
    let linear = ops::Linear::ALL.iter().map(|o| Op::Linear(*o));
    let others = ops::Reduce::ALL.iter().map(|o| Op::Reduce(*o));
    let time = ops::Time::ALL.iter().map(|o| Op::Time(*o));
    for op in linear.chain(others).chain(time) {
        assert!(
            seen.iter().any(|n| n == op.name()),
            "`{}` has no test",
            op.name()
        );
    }
}

/// A reduction of a vector, in `f64`, to 8 units of roundoff.
fn reduction(name: &str, args: &[f64], value: &[f64]) {
    let r = Recurrence::define("row", |r| {
        let a = r.param("a", [3]);
        r.output(
            "y",
            match name {
                "logsumexp" => a.logsumexp(),
                "softmax" => a.softmax(),
                _ => a.log_softmax(),
            },
        );
    })
    .expect("it is sound");
    let p = Params::new().with("a", ndarray::Array1::from(args.to_vec()));
    let y = r.evaluate(&p, &Batch::new(1, 1)).expect("it runs");
    for (a, b) in y["y"].iter().zip(value) {
        assert!(
            (a - b).abs() <= 8.0 * f64::EPSILON * b.abs().max(1.0),
            "{name} {args:?}: {a} {b}"
        );
    }
}

/// Values and partials within 8 units of roundoff of the larger of 1 and the number.
#[test]
fn values_and_partials_against_high_precision() {
    let numbers = |s: &str| {
        s.split(';')
            .map(|x| x.parse::<f64>().expect("a number"))
            .collect::<Vec<_>>()
    };
    let close = |a: f64, b: f64, eps: f64| (a - b).abs() <= 8.0 * eps * b.abs().max(1.0);
    let mut seen = Vec::new();
    for line in include_str!("data/op_values.csv").lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let (args, value, partials) = (numbers(fields[1]), numbers(fields[2]), numbers(fields[3]));
        seen.push(fields[0]);
        let Some(op) = ops::Pointwise::ALL.iter().find(|o| o.name() == fields[0]) else {
            continue;
        };
        assert!(close(op.eval(&args), value[0], f64::EPSILON), "{line}");
        let r = Recurrence::define("row", |r| {
            let a = r.param("a", ());
            r.loss(if op.arity() == 1 {
                unary(*op, a)
            } else {
                binary(*op, a, r.param("b", ()))
            });
        })
        .expect("it is sound");
        let mut p = Params::new().with("a", ndarray::arr0(args[0]));
        if op.arity() == 2 {
            p.insert("b", ndarray::arr0(args[1]));
        }
        let g = r
            .gradient(bptt::Wrt::Parameters)
            .expect("one")
            .evaluate(&p, &Batch::new(1, 1));
        let g = g.expect("it runs");
        for (n, expected) in ["a", "b"].iter().zip(&partials) {
            assert!(
                close(g[n].sum(), *expected, f64::EPSILON),
                "{line}: {n} {}",
                g[n]
            );
        }
    }
    for op in ops::Pointwise::ALL {
        assert!(seen.contains(&op.name()), "`{}` has no values", op.name());
    }
}

#[test]
fn nothing_drops_a_nan() {
    let nan = f64::NAN;
    for op in [ops::Pointwise::Max, ops::Pointwise::Min] {
        assert!(
            op.eval(&[nan, 1.0]).is_nan() && op.eval(&[1.0, nan]).is_nan(),
            "{op:?}"
        );
    }
    assert!(ops::Pointwise::Relu.eval(&[nan]).is_nan(), "relu");
}
