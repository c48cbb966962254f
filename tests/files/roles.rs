//! The types of entries that an array may have for each use, row by row, and the lengths of samples.

use bptt::data::{Array, Arrays};
use bptt::{Batch, Error, Recurrence};
use ndarray::{Array2, arr0, array};

fn model() -> Recurrence {
    let text =
        "input x, y: class(3)\nparam a\nloss a * x + softmax_cross_entropy(spread(a, [3]), y)\n";
    Recurrence::parse("model.rec", text).unwrap()
}

/// Two steps of two samples, with one array replaced.
fn data(name: &str, array: Array) -> Arrays {
    let mut arrays = Arrays::new()
        .with("x", Array2::<f64>::ones((2, 2)))
        .with("y", Array2::<i64>::zeros((2, 2)));
    arrays.insert(name, array);
    arrays
}

/// `None` if the array is taken, as a real input, a parameter, a class, or lengths.
fn reason(name: &str, array: Array) -> Option<String> {
    let data = data(name, array);
    let refused: Option<Error> = match name {
        "a" => data_params(&data).err(),
        _ => data.batch::<f64>(&model()).err(),
    };
    refused.map(|e| e.to_string())
}

fn data_params(data: &Arrays) -> bptt::Result<bptt::Params<f64>> {
    let array = data.get("a").cloned().unwrap();
    let mut params = Arrays::new();
    params.insert("a", array);
    params.params(&model())
}

const F64: &str = "`array.astype(np.float64)`";
const I64: &str = "`array.astype(np.int64)`";

#[test]
fn of_real_inputs() {
    let whole = Array2::from_elem((2, 2), 1_i64);
    assert_eq!(
        reason("x", Array::F64(Array2::ones((2, 2)).into_dyn())),
        None
    );
    assert_eq!(
        reason("x", Array::F32(Array2::ones((2, 2)).into_dyn())),
        None
    );
    assert_eq!(reason("x", Array::Int(whole.clone().into_dyn())), None);
    let flags = array![[true, false], [false, true]];
    let batch: Batch<f64> = data("x", Array::Bool(flags.into_dyn()))
        .batch(&model())
        .unwrap();
    assert_eq!(
        batch.get("x"),
        Some(&array![[1.0, 0.0], [0.0, 1.0]].into_dyn())
    );

    let exact = [1_i64 << 53, (1 << 53) + 2, i64::MIN];
    for x in exact {
        let mut array = whole.clone();
        array[[1, 0]] = x;
        assert_eq!(reason("x", Array::Int(array.into_dyn())), None, "{x}");
    }
    for x in [(1_i64 << 53) + 1, -(1 << 53) - 1, i64::MAX] {
        let mut array = whole.clone();
        array[[1, 0]] = x;
        let found = reason("x", Array::Int(array.into_dyn())).unwrap();
        assert!(
            found.contains("array `x`: expected integers that f64"),
            "{found}"
        );
        assert!(
            found.contains(&format!("found {x} at [1, 0] (counted from 0)")),
            "{found}"
        );
        assert!(found.contains(F64), "{found}");
    }
}

#[test]
fn of_single_precision() {
    let of = |array: Array| {
        data("x", array)
            .batch::<f32>(&model())
            .map_err(|e| e.to_string())
    };
    let whole = |x: i64| Array::Int(array![[x, 0], [0, 0]].into_dyn());
    assert!(of(whole(1 << 24)).is_ok() && of(whole((1 << 24) + 2)).is_ok());
    let found = of(whole((1 << 24) + 1)).unwrap_err();
    assert!(
        found.contains("f32 represents exactly, found 16777217 at [0, 0]"),
        "{found}"
    );
    let found = of(Array::F64(array![[0.1, 1e300], [0.0, 0.0]].into_dyn())).unwrap_err();
    assert!(
        found.contains("1e300 at [0, 1] (counted from 0) is beyond the range of f32"),
        "{found}"
    );
    assert!(found.contains("compute in `f64`"), "{found}");
}

#[test]
fn of_parameters() {
    assert_eq!(reason("a", Array::F64(arr0(0.5).into_dyn())), None);
    assert_eq!(reason("a", Array::F32(arr0(0.5).into_dyn())), None);
    assert_eq!(reason("a", Array::Int(arr0(2).into_dyn())), None);
    let found = reason("a", Array::Int(arr0((1 << 53) + 1).into_dyn())).unwrap();
    assert!(found.contains("found 9007199254740993 at []"), "{found}");
    let found = reason("a", Array::Bool(arr0(true).into_dyn())).unwrap();
    assert!(
        found.contains("expected real numbers, found booleans") && found.contains(F64),
        "{found}"
    );
}

#[test]
fn of_classes_and_lengths() {
    for (name, whole) in [
        ("y", array![[0.0, 2.0], [1.0, -0.0]].into_dyn()),
        ("lengths", array![1.0, 2.0].into_dyn()),
    ] {
        let single = Array::F64(whole.clone()).real::<f32>();
        let integers = whole.mapv(|x| (0..3).find(|n| f64::from(*n) == x).map_or(-1, i64::from));
        assert_eq!(reason(name, Array::F64(whole.clone())), None);
        assert_eq!(reason(name, Array::F32(single)), None);
        assert_eq!(reason(name, Array::Int(integers)), None);
        let found = reason(name, Array::Bool(whole.mapv(|x| x == 1.0))).unwrap();
        assert!(
            found.contains(&format!(
                "array `{name}`: expected integers, found booleans"
            )),
            "{found}"
        );
        assert!(found.contains(I64), "{found}");
        for x in [0.5, f64::NAN, f64::INFINITY, 1e300] {
            let mut wrong = whole.clone();
            *wrong.iter_mut().nth(1).unwrap() = x;
            let found = reason(name, Array::F64(wrong)).unwrap();
            assert!(
                found.contains(&format!(
                    "array `{name}`: expected integers, found {}",
                    bptt::number(x)
                )),
                "{found}"
            );
            let cure = match x.is_nan() && name == "y" {
                true => "write -1 for a missing class, and give its step a mask of 0",
                false => "astype(np.int64)",
            };
            assert!(
                found.contains("1] (counted from 0)") && found.contains(cure),
                "{found}"
            );
        }
    }
}

#[test]
fn of_wrong_lengths() {
    for (lengths, expected) in [
        (
            vec![-1, 2],
            "array `lengths`: the length of sample 0 is -1, expected 1 to 2 (samples are counted from 0)",
        ),
        (vec![2, 0], "the length of sample 1 is 0, expected 1 to 2"),
        (vec![2, 3], "the length of sample 1 is 3, expected 1 to 2"),
        (
            vec![2],
            "expected 2 lengths, one for each sample (B = 2), found 1",
        ),
        (
            vec![2, 1, 1],
            "expected 2 lengths, one for each sample (B = 2), found 3",
        ),
        (
            vec![],
            "expected 2 lengths, one for each sample (B = 2), found 0",
        ),
    ] {
        let found = reason(
            "lengths",
            Array::Int(ndarray::Array1::from(lengths).into_dyn()),
        )
        .unwrap();
        assert!(found.contains(expected), "{found}");
    }
    let found = reason("lengths", Array::F64(array![[1.0], [2.0]].into_dyn())).unwrap();
    assert!(
        found.contains("expected shape [B], found [2, 1]"),
        "{found}"
    );
    assert!(found.contains("rename or remove such a column"), "{found}");
    // Without an input per step, the lengths are all there is.
    let free = Recurrence::parse("free.rec", "param a\nstate h\nh' = a + h\nloss h'\n").unwrap();
    let found = Arrays::new()
        .with("lengths", array![-1_i64, 3])
        .batch::<f64>(&free);
    let found = found.unwrap_err().to_string();
    assert!(
        found.contains("the length of sample 0 is -1, expected 1 to 3"),
        "{found}"
    );
}

/// Entries behind the end of a sequence, or at a step whose mask is 0, may hold anything in any type.
#[test]
fn entries_that_are_not_read_may_be_anything() {
    let text = "input x, y: class(3)\nparam a\nstate s\ns' = s + x\n\
                loss a * s' + softmax_cross_entropy(spread(a, [3]), y)\n";
    let model = Recurrence::parse("model.rec", text).unwrap();
    let masked = Recurrence::parse("masked.rec", &format!("mask input m\n{text}")).unwrap();
    let loss = |r: &Recurrence, arrays: &Arrays| {
        let batch = arrays.batch::<f32>(r)?;
        let params = bptt::Params::new().with("a", arr0(0.5));
        r.evaluate(&params, &batch)?.loss()
    };
    let (x, y) = (array![[1.0f32], [2.0], [0.0]], array![[0i64], [2], [0]]);
    let whole = |r: &Recurrence, last: Arrays| {
        let plain = Arrays::new()
            .with("x", x.clone())
            .with("y", y.clone())
            .with("m", array![[1i64], [1], [0]])
            .with(
                "lengths",
                array![if std::ptr::eq(r, &model) { 2i64 } else { 3 }],
            );
        let expected = loss(r, &plain).unwrap();
        let mut arrays = plain;
        for (name, array) in last.iter() {
            arrays.insert(name, array.clone());
        }
        assert_eq!(loss(r, &arrays).unwrap(), expected);
        // The same entry is refused where it is read.
        arrays.insert("lengths", Array::Int(array![3i64].into_dyn()));
        arrays.insert("m", Array::Int(array![[1i64], [1], [1]].into_dyn()));
        assert!(loss(r, &arrays).is_err());
    };
    for r in [&model, &masked] {
        for bad in [f64::NAN, f64::INFINITY, 0.5, -1.0, 7.0] {
            whole(r, Arrays::new().with("y", array![[0.0], [2.0], [bad]]));
        }
        for bad in [f64::NAN, 1e39] {
            whole(r, Arrays::new().with("x", array![[1.0], [2.0], [bad]]));
        }
        whole(
            r,
            Arrays::new().with("x", array![[1i64], [2], [(1 << 24) + 1]]),
        );
    }
}
