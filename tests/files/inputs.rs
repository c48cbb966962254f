//! Arrays of a file as the inputs of a recurrence: shapes, classes, resets, and those that do not fit.

use bptt::data::Arrays;
use bptt::{Batch, Params, Recurrence};
use ndarray::{ArrayD, IxDyn, arr0, array};

pub(super) fn model() -> Recurrence {
    let source = "dim K, C\ninput x[K], s, y: class(C)\nsample input h0[K], k: class(C)\n\
                  param w[C, K]\nstate h[K] = h0\nh' = h + x * s\n\
                  loss softmax_cross_entropy(w @ h', y) + sum(gather(w, k))\n";
    Recurrence::parse("model.rec", source).unwrap()
}

fn data() -> Arrays {
    Arrays::new()
        .with("x", ndarray::Array3::<f64>::zeros((4, 2, 3)))
        .with("s", ndarray::Array2::<f32>::ones((4, 2)))
        .with("y", ndarray::Array2::<i64>::ones((4, 2)))
        .with("h0", ndarray::Array2::<f64>::zeros((2, 3)))
        .with("k", array![0_i64, 1])
}

#[test]
fn inputs_become_a_batch() {
    let batch: Batch<f64> = data()
        .with("lengths", array![4_i64, 2])
        .batch(&model())
        .unwrap();
    assert_eq!((batch.steps(), batch.samples()), (4, 2));
    assert_eq!(batch.lengths().collect::<Vec<_>>(), [4, 2]);
    assert_eq!(batch.classes("k"), Some(&array![0, 1].into_dyn()));
    let params: Params<f64> = Arrays::new()
        .with("w", ndarray::Array2::<f32>::ones((2, 3)))
        .params(&model())
        .unwrap();
    assert!(
        model()
            .evaluate(&params, &batch)
            .unwrap()
            .loss()
            .unwrap()
            .is_finite(),
        "it runs"
    );
}

/// Files often have −100 for a missing class.
#[test]
fn resets_that_do_not_fit_are_refused_themselves() {
    let sums = Recurrence::parse("sums.rec", "input x\nstate s\ns' = s + x\nfinal loss s'\n");
    let sums = sums.unwrap().with_resets("reset").unwrap();
    for (shape, message) in [
        (
            &[2, 2][..],
            "array `reset`: expected axes [T, B] with T = 4, B = 2, as `x` has them",
        ),
        (&[4], "input `reset`: expected shape [T, B]"),
    ] {
        let data = Arrays::new()
            .with("x", ArrayD::<f64>::ones(IxDyn(&[4, 2])))
            .with("reset", ArrayD::<f64>::zeros(IxDyn(shape)));
        let found = data.batch::<f64>(&sums);
        let found = found.and_then(|batch| sums.evaluate(&Params::new(), &batch));
        let error = found.unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn a_negative_class_beyond_the_end_of_a_sequence_is_not_looked_at() {
    let labels = array![[1_i64, 0], [1, 0], [0, -100], [1, -100]];
    let arrays = data().with("y", labels).with("lengths", array![4_i64, 2]);
    let params = Params::new().with("w", ndarray::Array2::zeros((2, 3)));
    let batch: Batch<f64> = arrays.batch(&model()).unwrap();
    let found = model().evaluate(&params, &batch).unwrap().loss().unwrap();
    assert!((found - 6.0 * 2_f64.ln()).abs() < 1e-14, "{found}");
    let program = model().compile_for::<f64>(&params, &batch).unwrap();
    let fast = program.evaluate(&params, &batch).unwrap();
    assert!((fast.loss().unwrap() - found).abs() < 1e-14);
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let refuse = |arrays: Arrays, expected: &str| {
        let found = arrays.batch::<f64>(&model()).and_then(|batch| {
            let params = Params::new().with("w", ndarray::Array2::zeros((2, 3)));
            model().evaluate(&params, &batch)
        });
        let message = found.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    refuse(
        data().with("y", array![[0.5]]),
        "array `y`: expected integers, found 0.5 at [0, 0] (counted from 0); if it is meant to be rounded: \
         `array.round().astype(np.int64)`",
    );
    refuse(
        data().with("y", ndarray::Array2::<i64>::from_elem((4, 2), -1)),
        "step 0, sample 0 (counted from 0) is a negative class, expected 0 to",
    );
    refuse(
        data().with("k", array![0_i64, 2]),
        "input `k`: sample 1 (counted from 0) is class 2, expected 0 to 1; classes are counted from 0",
    );
    refuse(
        data().with("lengths", array![4_i64, 5]),
        "length of sample 1 is 5",
    );
    refuse(
        data().with(
            "s",
            array![[f64::NAN, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]],
        ),
        "input `s` is not finite: step 0, sample 0 (counted from 0) is NaN. Data must be finite also",
    );
    refuse(
        data().with("y", ndarray::Array3::<f64>::ones((4, 2, 3))),
        "array `y`: expected classes, an array of shape [T, B], found shape [4, 2, 3]; of one-hot vectors",
    );
    refuse(
        data().with("x", ndarray::Array2::<i64>::ones((4, 2))),
        "array `x`: expected vectors, an array of shape [T, B, size], found integers of shape [4, 2]; if",
    );
    refuse(
        data().with("lengths", array![1_i64, 2, 3, 3]),
        "one for each sample (B = 2), found 4; inputs are [T, B, …], steps first: `array.swapaxes(0, 1)`",
    );
    refuse(
        data().with("x", ndarray::Array3::<f64>::zeros((2, 4, 3))),
        "array `s`: expected axes [T, B] with T = 2, B = 4, as `x` has them, found shape [4, 2]; inputs are \
         [T, B, …], steps first: of the one whose samples are first, take `array.swapaxes(0, 1)`",
    );
    refuse(
        data().with("h0", ndarray::Array2::<f64>::zeros((3, 3))),
        "array `h0`: expected axes [B] with T = 4, B = 2, as `x` has them, found shape [3, 3]",
    );
    refuse(Arrays::new(), "says how many steps and samples");
    refuse(
        Arrays::new().with("x", array![1.0, 2.0]),
        "array `x`: expected shape [T, B, …], the axes of steps and samples first, found [2]; give",
    );
    refuse(
        data().with("x", ndarray::Array3::<f64>::zeros((0, 2, 3))),
        "it has no steps (T = 0)",
    );
    let message = Arrays::new()
        .with("v", arr0(1.0))
        .params::<f64>(&model())
        .unwrap_err()
        .to_string();
    assert!(message.contains("no parameter named `v`"), "{message}");
}
