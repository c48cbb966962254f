//! Steps of `AdamW` and SGDW under schedules, compared with the same in 50 digits (mpmath 1.3, from the papers' algorithms,
//! `θ ← θ − rate λ θ − rate m̂ / (√v̂ + ε)`).

use bptt::fit::{Adam, Group, Optimizer, Phase, Schedule, Sgd};
use bptt::{Batch, Params, Recurrence, Wrt};
use ndarray::{arr0, array};

/// Rosenbrock's function with 10 in place of 100, and a cube.
fn valley() -> Recurrence {
    let text = "param w[2]\nparam b\nloss (1 - w[0])^2 + 10 * (w[1] - w[0]^2)^2 + b^3\n";
    Recurrence::parse("valley.rec", text).expect("the text is a recurrence")
}

fn start() -> Params<f64> {
    let params = Params::new().with("w", array![-1.2, 1.0]);
    params.with("b", arr0(0.5))
}

/// Takes the steps `from..to`.
fn go(
    optimizer: &mut dyn Optimizer<f64>,
    schedule: &Schedule,
    rate: f64,
    params: &mut Params<f64>,
    steps: std::ops::Range<u64>,
) {
    let batch = Batch::new(1, 1);
    let gradient = valley().gradient(Wrt::Parameters).expect("a gradient");
    let program = gradient.compile_for(params, &batch).expect("a program");
    let mut workspace = program.workspace();
    for step in steps {
        optimizer.set_rate(rate * schedule.factor(step));
        let found = program.run(params, &batch, &mut workspace).expect("a run");
        optimizer.step(params, found).expect("a step");
    }
}

fn numbers(params: &Params<f64>) -> [f64; 3] {
    let w = &params["w"];
    [w[0], w[1], params["b"].sum()]
}

fn close(found: [f64; 3], expected: [f64; 3]) {
    for (x, y) in found.iter().zip(expected) {
        assert!(
            (x - y).abs() < 1e-12,
            "found {found:?}, expected {expected:?}"
        );
    }
}

fn waves() -> Schedule {
    "warm-up:10,cosine:80:0.1".parse().expect("a schedule")
}

fn stairs() -> Schedule {
    "warm-up:5,constant:10,steps:20:0.5"
        .parse()
        .expect("a schedule")
}

fn adamw() -> Adam<f64> {
    Adam::new(0.1).decay(0.05)
}

#[test]
fn adamw_takes_the_steps_of_the_paper() {
    let cases = [
        (
            waves(),
            1,
            [
                -1.189_400_000_003_918_4,
                1.009_499_999_988_636_3,
                0.489_750_000_133_333_3,
            ],
        ),
        (
            waves(),
            7,
            [
                -0.945_929_272_424_272_7,
                1.204_638_401_937_598_9,
                0.228_697_651_626_892_12,
            ],
        ),
        (
            waves(),
            50,
            [
                -0.273_711_175_059_618_34,
                0.074_517_399_238_000_03,
                -3.352_620_871_375_334,
            ],
        ),
        (
            waves(),
            100,
            [
                0.107_625_678_164_108_38,
                0.001_177_789_431_073_897_1,
                -5.067_353_387_242_303,
            ],
        ),
        (
            stairs(),
            1,
            [
                -1.178_800_000_007_837,
                1.018_999_999_977_272_8,
                0.479_500_000_266_666_67,
            ],
        ),
        (
            stairs(),
            7,
            [
                -0.850_529_261_204_841_7,
                1.204_482_329_709_36,
                0.048_864_256_201_995_94,
            ],
        ),
        (
            stairs(),
            50,
            [
                -0.220_078_837_240_926_1,
                0.069_865_796_025_142_83,
                -3.441_587_888_239_263_6,
            ],
        ),
        (
            stairs(),
            100,
            [
                0.130_373_082_268_887_5,
                0.003_757_543_382_872_729_5,
                -4.893_946_651_418_784,
            ],
        ),
    ];
    for (schedule, steps, expected) in cases {
        let mut params = start();
        go(&mut adamw(), &schedule, 0.1, &mut params, 0..steps);
        close(numbers(&params), expected);
    }
}

#[test]
fn a_group_has_its_own_rate_and_decay() {
    let mut params = start();
    let mut adam = adamw().group(Group::named("b*").rate(0.2).decay(0.0));
    go(&mut adam, &waves(), 0.1, &mut params, 0..100);
    close(
        numbers(&params),
        [
            0.107_625_678_164_108_38,
            0.001_177_789_431_073_897_1,
            0.045_191_544_463_573_85,
        ],
    );
}

/// Without a slope, a step of SGD multiplies by `1 − rate λ` alone, and the velocity does not see it.
#[test]
fn sgd_decays_apart_from_its_velocity() {
    let r = Recurrence::parse("flat.rec", "param w\nparam v\nloss 0 * w + v\n").unwrap();
    let gradient = r.gradient(Wrt::Parameters).unwrap();
    let mut params = Params::new().with("w", arr0(1.0)).with("v", arr0(1.0));
    let mut sgd = Sgd::new(0.5).momentum(0.5).decay(0.5);
    for _ in 0..2 {
        let found = gradient.evaluate(&params, &Batch::new(1, 1)).unwrap();
        sgd.step(&mut params, &found).unwrap();
    }
    assert_eq!(params["w"].sum(), 0.5625, "0.75²");
    // v = 1, 1.5: 0.75 − 0.5 = 0.25, then 0.75 · 0.25 − 0.75.
    assert_eq!(params["v"].sum(), -0.5625);
}

#[test]
fn a_saved_fit_goes_on_bit_for_bit() {
    for schedule in [waves(), stairs()] {
        let group = || Group::named("w").rate(0.5);
        let mut params = start();
        go(
            &mut adamw().group(group()),
            &schedule,
            0.1,
            &mut params,
            0..100,
        );
        for saved in [0, 1, 9, 37, 95] {
            let (mut resumed, mut adam) = (start(), adamw().group(group()));
            go(&mut adam, &schedule, 0.1, &mut resumed, 0..saved);
            let mut other = adamw().group(group());
            other.restore(&adam.state()).unwrap();
            go(&mut other, &schedule, 0.1, &mut resumed, saved..100);
            assert_eq!(resumed, params, "saved after {saved} steps");
        }
    }
}

#[test]
fn factors_of_a_schedule() {
    let found = [0, 9, 10, 50, 89, 90, 1000].map(|step| waves().factor(step));
    // The cosine in 50 digits.
    let expected = [0.1, 1.0, 1.0, 0.55, 0.100_346_933_691_674_68, 0.1, 0.1];
    for (x, y) in found.iter().zip(expected) {
        assert!((x - y).abs() < 1e-15, "{found:?}");
    }
    let found = [0, 4, 5, 14, 15, 34, 35, 60].map(|step| stairs().factor(step));
    assert_eq!(found, [0.2, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.25]);
    assert_eq!(Schedule::new([]).unwrap().factor(7), 1.0, "no phase");
    let warm = Schedule::new([Phase::WarmUp { steps: 2 }]).unwrap();
    assert_eq!([0, 1, 2].map(|i| warm.factor(i)), [0.5, 1.0, 1.0]);
}

#[test]
fn schedules_without_meaning_are_refused() {
    for (text, expected) in [
        (
            "warm-up:0",
            "phase `warm-up:0` of the schedule: expected at least one step",
        ),
        ("cosine:5:-1", "expected a factor of at least 0, found -1"),
        ("cosine:5:NaN", "expected a factor of at least 0, found NaN"),
        (
            "steps:5:0.5,constant:3",
            "`constant:3` never begins: put it last",
        ),
        (
            "steps:5",
            "expected `warm-up:100`, `constant:50`, `cosine:900:0.1` or `steps:300:0.5`",
        ),
        ("warm-up:5:2", "expected `warm-up:100`"),
        ("cosine:5:0.1:3", "expected `warm-up:100`"),
        ("", "phase `` of the schedule: expected"),
        ("warm-up:-1", "expected `warm-up:100`"),
    ] {
        let error = text.parse::<Schedule>().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    for text in [
        "warm-up:5,constant:2,cosine:7:0.25,steps:3:0.5",
        "cosine:7:0",
    ] {
        let schedule: Schedule = text.parse().unwrap();
        assert_eq!(schedule.to_string(), text);
    }
}
