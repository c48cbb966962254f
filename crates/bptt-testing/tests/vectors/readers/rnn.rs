use bptt_testing::vectors::Vectors;
use bptt_testing::{Answer, Precision};
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, Dimension};

/// Holds a tanh RNN with a linear readout and half the squared error to a file; returns the number of vectors.
fn check(file: &str) -> Result<usize, Box<dyn std::error::Error>> {
    fn of<D: Dimension>(array: ArrayD<f64>) -> Result<ndarray::Array<f64, D>, ndarray::ShapeError> {
        array.into_dimensionality()
    }
    let vectors = Vectors::read(file)?;
    for vector in vectors.iter() {
        let x: Array3<f64> = of(vector.real("inputs/x")?)?;
        let y: Array3<f64> = of(vector.real("inputs/y")?)?;
        let w_h: Array2<f64> = of(vector.real("params/W_H")?)?;
        let w_x: Array2<f64> = of(vector.real("params/W_X")?)?;
        let b_h: Array1<f64> = of(vector.real("params/b_h")?)?;
        let w_o: Array2<f64> = of(vector.real("params/W_O")?)?;
        let b_q: Array1<f64> = of(vector.real("params/b_q")?)?;

        // The code under test.
        let column = |v: &Array1<f64>| v.clone().insert_axis(Axis(1));
        let outer = |a: &Array1<f64>, b: &Array1<f64>| column(a).dot(&column(b).t());
        let (mut loss, mut d_w_h, mut d_w_x) = (0.0, w_h.clone() * 0.0, w_x.clone() * 0.0);
        let (mut d_b_h, mut d_w_o, mut d_b_q) = (&b_h * 0.0, &w_o * 0.0, &b_q * 0.0);
        for (b, length) in vector.lengths().into_iter().enumerate() {
            let x = |t| x.index_axis(Axis(0), t).row(b).to_owned();
            let mut h = vec![&b_h * 0.0];
            for t in 0..length {
                h.push((w_h.dot(&h[t]) + w_x.dot(&x(t)) + &b_h).mapv(f64::tanh));
            }
            let mut dh = &b_h * 0.0;
            for t in (0..length).rev() {
                let error = w_o.dot(&h[t + 1]) + &b_q - y.index_axis(Axis(0), t).row(b);
                loss += 0.5 * error.dot(&error);
                d_w_o += &outer(&error, &h[t + 1]);
                d_b_q += &error;
                let da = (dh + w_o.t().dot(&error)) * h[t + 1].mapv(|h| 1.0 - h * h);
                d_w_h += &outer(&da, &h[t]);
                d_w_x += &outer(&da, &x(t));
                d_b_h += &da;
                dh = w_h.t().dot(&da);
            }
        }

        let answer = Answer::new()
            .loss(loss)
            .gradient("W_H", d_w_h)
            .gradient("W_X", d_w_x)
            .gradient("b_h", d_b_h)
            .gradient("W_O", d_w_o)
            .gradient("b_q", d_b_q);
        vector.check(&answer, Precision::F64)?;
    }
    Ok(vectors.iter().len())
}
