//! Statements on vanishing and exploding gradients: runs that attain the bounds, and common statements that are
//! false.

use bptt::cells::{Cell, Loss};
use bptt::derive::{Derivation, Format, Lang, Level, Reach};
use bptt::{Batch, Params};
use ndarray::{Array2, Array3, ArrayD, array};

const STEPS: usize = 16;

fn rnn() -> Derivation {
    let model = Cell::rnn().model("rnn", Loss::SquaredError).unwrap();
    model.derive().unwrap()
}

/// A run of the tanh RNN near zero, where every slope is one.
fn measured(derivation: &mut Derivation, w: &Array2<f64>) -> Reach {
    let (hidden, tiny) = (w.nrows(), 1e-12);
    let params = Params::new()
        .with("W_H", w.clone())
        .with("W_X", Array2::<f64>::from_elem((hidden, 1), tiny))
        .with("b_h", ArrayD::<f64>::zeros(vec![hidden]))
        .with("W_O", Array2::<f64>::ones((1, hidden)))
        .with("b_q", ArrayD::<f64>::zeros(vec![1]));
    let batch = Batch::new(STEPS, 1)
        .with("x", Array3::<f64>::ones((STEPS, 1, 1)))
        .with("y", Array3::<f64>::zeros((STEPS, 1, 1)));
    derivation
        .measure(&params, &batch)
        .unwrap()
        .unwrap()
        .clone()
}

/// With slopes of one and a multiple of an orthogonal matrix, both bounds are attained.
#[test]
fn the_bounds_are_reached() {
    let (sin, cos) = 0.7_f64.sin_cos();
    for scale in [0.8, 1.2] {
        let w = array![[cos, -sin], [sin, cos]] * scale;
        let reach = measured(&mut rnn(), &w);
        assert!((reach.ratio - scale).abs() < 1e-9, "{}", reach.ratio);
        for t in 1..=STEPS {
            for k in 0..t {
                let steps = i32::try_from(t - k).unwrap();
                let norm = reach.norm(t, k).unwrap();
                let bound = reach.ratio.powi(steps);
                assert!(norm / bound > 0.999_999, "{norm} of {bound}");
                assert!(norm <= reach.product_log(t, k).exp() * (1.0 + 1e-12));
            }
        }
        assert!((reach.exponent() - scale.ln()).abs() < 1e-9);
    }
}

/// A norm above one does not imply that a product explodes.
#[test]
fn a_large_norm_is_not_sufficient_for_explosion() {
    let reach = measured(&mut rnn(), &array![[0.5, 5.0], [0.0, 0.5]]);
    assert!(reach.ratio > 5.0);
    let powers = [(1, 5.05), (2, 5.01), (4, 2.50), (8, 0.31), (16, 0.002)];
    for (steps, norm) in powers {
        let found = reach.norm(STEPS, STEPS - steps).unwrap();
        let close = (found - norm).abs() < 0.01 * f64::max(norm, 0.3);
        assert!(close, "{steps} steps: {found} is not {norm}");
    }
    assert!(reach.exponent() < 0.0, "it vanishes");
}

/// Two matrices of spectral radius zero have a product of spectral radius 4.
#[test]
fn spectral_radii_say_nothing_about_products() {
    let (a, b) = (
        array![[0.0, 2.0], [0.0, 0.0]],
        array![[0.0, 0.0], [2.0, 0.0]],
    );
    assert_eq!(a.dot(&a), Array2::<f64>::zeros((2, 2)));
    assert_eq!(b.dot(&b), Array2::<f64>::zeros((2, 2)));
    assert_eq!(a.dot(&b), array![[4.0, 0.0], [0.0, 0.0]]);
}

/// Phrases that must not be printed, in either language.
#[test]
fn wrong_sentences_are_not_printed() {
    let wrong = [
        "spectral radius is below",
        "spectral radius below",
        "eigenvalues below",
        "if the norm exceeds 1, it explodes",
        "谱半径小于 1",
        "特征值小于 1",
        "范数大于 1 就会爆炸",
        "梯度裁剪旧称",
        "梯度截断",
    ];
    for cell in [Cell::rnn(), Cell::lstm(), Cell::gru()] {
        let mut derivation = cell
            .model("m", Loss::SquaredError)
            .unwrap()
            .derive()
            .unwrap();
        derivation.check(1).unwrap();
        for lang in Lang::ALL {
            let page = derivation.render(Format::Markdown, *lang, Level::Full);
            for sentence in wrong {
                assert!(!page.contains(sentence), "{sentence}");
            }
        }
        let english = derivation.render(Format::Markdown, Lang::En, Level::Normal);
        for word in [
            "Sufficient:",
            "not necessary",
            "Necessary:",
            "not sufficient",
            "actual norms",
        ] {
            assert!(english.contains(word), "{word}");
        }
        let chinese = derivation.render(Format::Markdown, Lang::Zh, Level::Normal);
        for word in [
            "充分条件",
            "不是必要条件",
            "必要条件",
            "不是充分条件",
            "旁边的范数",
        ] {
            assert!(chinese.contains(word), "{word}");
        }
    }
}

/// A table of actual norms is shown beside the bounds, and marks bounds that are too loose to be useful.
#[test]
fn actual_norms_stand_beside_the_bounds() {
    let mut derivation = rnn();
    derivation.check(1).unwrap();
    measured(&mut derivation, &array![[0.5, 5.0], [0.0, 0.5]]);
    let page = derivation.render(Format::Text, Lang::En, Level::Normal);
    assert!(page.contains("the given run of 16 steps"), "{page}");
    assert!(page.contains("the bound says nothing"), "{page}");
    let row = page
        .lines()
        .find(|l| l.trim_start().starts_with("16  "))
        .unwrap();
    assert!(row.contains(" 0.002 ") && row.contains("e11"), "{row}");
    measured(&mut derivation, &array![[0.3, 0.0], [0.0, 0.2]]);
    let page = derivation.render(Format::Text, Lang::En, Level::Normal);
    assert!(page.contains("are certain to vanish"), "{page}");
    let data = derivation.render(Format::Json, Lang::En, Level::Sheet);
    assert!(
        data.contains("\"origin\": \"given\"") && data.contains("\"ratio\": 3e-1"),
        "{data}"
    );
    let html = derivation.render(Format::Html, Lang::En, Level::Normal);
    assert!(html.contains("class=\"heat\"") && html.contains("class=\"curves\""));
}
