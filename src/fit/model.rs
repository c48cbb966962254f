//! The quadratic model of a loss, and steps that decrease it.

use ndarray::{Array1, Array2, Zip, s};

use super::dense::{Cholesky, Eigen};

/// `g·p + ½ pᵀ H p`, with a size for each entry; the length of a step is relative to the sizes.
pub(super) struct Model {
    gradient: Array1<f64>,
    hessian: Array2<f64>,
    size: Array1<f64>,
}

impl Model {
    pub(super) fn new(gradient: Array1<f64>, hessian: Array2<f64>, size: Array1<f64>) -> Self {
        Self {
            gradient,
            hessian,
            size,
        }
    }

    /// The decrease of the model along a step.
    pub(super) fn decrease(&self, step: &Array1<f64>) -> f64 {
        -(self.gradient.dot(step) + 0.5 * step.dot(&self.hessian.dot(step)))
    }

    /// The Euclidean norm of a step relative to the sizes.
    pub(super) fn length(&self, step: &Array1<f64>) -> f64 {
        norm(&(step / &self.size))
    }

    /// The step to the minimum of the model, if it has one.
    pub(super) fn newton(&self) -> Option<Array1<f64>> {
        let step = -Cholesky::of(&self.anchored(&self.hessian))?.solve(&self.gradient);
        step.iter().all(|x| x.is_finite()).then_some(step)
    }

    /// The model in its principal axes.
    pub(super) fn region(&self) -> Option<Region> {
        self.within(self.size.clone(), true)
    }

    /// The same, in which entries without influence are flat directions.
    pub(super) fn loose_region(&self) -> Option<Region> {
        self.within(self.size.clone(), false)
    }

    /// A Hessian with a curvature for the entries that have none and no influence on others either, such as an input
    /// beyond the end of its sequence: a step leaves them exactly where they are.
    fn anchored(&self, hessian: &Array2<f64>) -> Array2<f64> {
        let mut anchored = hessian.clone();
        let largest = hessian.diag().iter().fold(0.0, |m: f64, h| m.max(h.abs()));
        for (i, slope) in self.gradient.iter().enumerate() {
            if *slope == 0.0 && hessian.row(i).iter().all(|h| *h == 0.0) {
                anchored[[i, i]] = largest;
            }
        }
        anchored
    }

    /// The same with larger sizes: each entry can reach the minimum along this entry alone. For parameters near zero,
    /// the usual region is too small to reach lower losses far away.
    pub(super) fn wide_region(&self) -> Option<Region> {
        let wide = |size: &f64, g: &f64, h: &f64| match (g / h).abs() {
            alone if alone.is_finite() => size.max(alone),
            _ => *size,
        };
        let sizes = Zip::from(&self.size).and(&self.gradient);
        self.within(sizes.and(self.hessian.diag()).map_collect(wide), true)
    }

    fn within(&self, size: Array1<f64>, is_anchored: bool) -> Option<Region> {
        let mut scaled = self.hessian.clone();
        for ((i, j), entry) in scaled.indexed_iter_mut() {
            *entry *= size[i] * size[j];
        }
        if is_anchored {
            scaled = self.anchored(&scaled);
        }
        let eigen = Eigen::of(&scaled)?;
        let slopes = eigen.vectors.t().dot(&(&self.gradient * &size));
        Some(Region {
            size,
            eigen,
            slopes,
        })
    }
}

/// The sizes that the lengths of steps are relative to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sizes {
    pub(super) now: Array1<f64>,
    /// The sizes of entries that began at zero and have not moved far yet; zero for others.
    pub(super) kept: Array1<f64>,
}

impl Sizes {
    /// The size of an entry is its absolute value; for zero, the length of the Newton step along this entry alone. An
    /// entry that began at zero keeps that size until it contributes to a step, since its value is meaningless
    /// before.
    pub(super) fn next(
        before: Option<Self>,
        moved: Option<&Array1<f64>>,
        at: &Array1<f64>,
        gradient: &Array1<f64>,
        hessian: &Array2<f64>,
    ) -> Self {
        let usable = |x: f64| x.is_finite() && x > f64::MIN_POSITIVE.sqrt();
        let own = Zip::from(at)
            .and(gradient)
            .and(hessian.diag())
            .map_collect(|x, g, h| {
                let choices = [x.abs(), (g / h).abs(), 1.0];
                choices.into_iter().find(|x| usable(*x)).unwrap_or(1.0)
            });
        let kept = match (before, moved) {
            (Some(before), Some(moved)) if before.now.len() == moved.len() => {
                let parts = moved / &before.now;
                let part = 0.1 * norm(&parts);
                Zip::from(&before.kept)
                    .and(&parts)
                    .map_collect(|kept, moved| if moved.abs() < part { *kept } else { 0.0 })
            }
            (Some(before), _) if before.now.len() == own.len() => before.kept,
            _ => Zip::from(at)
                .and(&own)
                .map_collect(|x, size| if usable(x.abs()) { 0.0 } else { *size }),
        };
        let now = Zip::from(&own).and(&kept).map_collect(|a, b| a.max(*b));
        Self { now, kept }
    }
}

/// The Euclidean norm, without overflow of the squares.
fn norm(x: &Array1<f64>) -> f64 {
    let largest = x.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    match largest > 0.0 && largest.is_finite() {
        true => largest * x.iter().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt(),
        false => largest,
    }
}

/// A model in the basis in which its Hessian, relative to the sizes, is diagonal.
pub(super) struct Region {
    size: Array1<f64>,
    eigen: Eigen,
    slopes: Array1<f64>,
}

impl Region {
    /// The directions, of relative length 1, along which the curvature changes the loss by at most `least`.
    pub(super) fn flat(&self, least: f64) -> impl Iterator<Item = Array1<f64>> {
        let axes = self.eigen.values.iter().zip(self.eigen.vectors.columns());
        let flat = axes.filter(move |(value, _)| **value <= least);
        flat.map(|(_, axis)| &axis * &self.size)
    }

    /// The step of at most this length that decreases the model most: `y = −(Λ + λ)⁻¹ c` with the
    /// smallest `λ ≥ 0` that makes `Λ + λ` positive and `y` short enough (Moré and Sorensen 1983).
    pub(super) fn step(&self, radius: f64) -> Array1<f64> {
        let values = &self.eigen.values;
        let (Some(lowest), Some(highest)) = (values.first(), values.last()) else {
            return self.size.clone();
        };
        let largest = lowest.abs().max(highest.abs());
        let at = |shift: f64| {
            let divided = |c: &f64, w: &f64| if *c == 0.0 { 0.0 } else { -c / (w + shift) };
            Zip::from(&self.slopes).and(values).map_collect(divided)
        };
        let fits = |shift: f64| norm(&at(shift)) <= radius;
        // A smaller eigenvalue is due to rounding.
        let margin = 1e-14 * largest + f64::MIN_POSITIVE;
        let least = if *lowest > margin {
            0.0
        } else {
            margin - lowest
        };
        let mut y = at(least);
        if !fits(least) {
            let (mut low, mut high) = (least, least + norm(&self.slopes) / radius);
            while high - low > 1e-12 * high {
                // Shifts can differ by orders of magnitude.
                let far = low > 0.0 && high / low > 4.0;
                let middle = if far {
                    (low * high).sqrt()
                } else {
                    0.5 * (low + high)
                };
                if middle <= low || middle >= high {
                    break;
                }
                *(if fits(middle) { &mut high } else { &mut low }) = middle;
            }
            y = at(high);
        } else if *lowest < -1e-10 * largest {
            // The "hard case": the slope along the most negative curvature is zero. In a flat direction the sign of
            // the curvature is due to rounding, and a step gains nothing.
            let others = norm(&y.slice(s![1..]).to_owned()) / radius;
            y[0] = (radius * (1.0 - others * others).max(0.0).sqrt()).copysign(y[0]);
        }
        self.eigen.vectors.dot(&y) * &self.size
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::noise::Noise;

    /// No random step of the allowed length decreases the model more.
    #[test]
    fn no_step_in_the_region_is_better() {
        let mut noise = Noise(5);
        for case in 0..60 {
            let n = 1 + case % 4;
            let mut h = Array2::from_shape_simple_fn((n, n), || noise.number());
            h = &h + &h.t();
            let mut g = Array1::from_shape_simple_fn(n, || noise.number());
            if case % 5 == 0 {
                g[0] = 0.0;
                h.row_mut(0).fill(0.0);
                h.column_mut(0).fill(0.0);
                h[[0, 0]] = -1.0;
            }
            let at = Array1::from_shape_simple_fn(n, || noise.number().exp());
            let model = Model::new(g, h, at);
            let region = model.region().unwrap();
            for radius in [0.01, 1.0, 7.0] {
                let step = region.step(radius);
                let decrease = model.decrease(&step);
                assert!(model.length(&step) <= radius * (1.0 + 1e-9), "case {case}");
                for _ in 0..200 {
                    let y = Array1::from_shape_simple_fn(n, || noise.number());
                    let y = &y * (radius / norm(&y)) * noise.number();
                    let other = model.decrease(&(y * &model.size));
                    assert!(
                        other <= decrease + 1e-9 * decrease.abs(),
                        "case {case}, {radius}"
                    );
                }
            }
        }
    }

    /// An entry that has no influence keeps its value, bit for bit.
    #[test]
    fn entries_without_influence_do_not_move() {
        let h = array![[2.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]];
        let size = array![1.0, 1.0, 0.1];
        let model = Model::new(array![0.3, 0.0, -0.7], h, size);
        let steps = [
            model.newton().unwrap(),
            model.region().unwrap().step(0.1),
            model.wide_region().unwrap().step(10.0),
        ];
        for step in steps {
            assert_eq!(step[1], 0.0, "{step}");
            assert!(model.decrease(&step) > 0.0, "{step}");
        }
        let loose = model.loose_region().unwrap();
        assert_eq!(loose.flat(1e-9).count(), 1, "it can be searched");
    }

    #[test]
    fn sizes_are_those_of_the_parameters() {
        let h = array![[4.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]];
        let (g, at) = (array![1.0, 3.0, 0.0], array![-5.0, 0.0, 0.0]);
        let first = Sizes::next(None, None, &at, &g, &h);
        assert_eq!(first.now, array![5.0, 1.5, 1.0]);
        assert_eq!(first.kept, array![0.0, 1.5, 1.0]);
        // The second entry has hardly moved, the third one has.
        let moved = array![1.0, 1e-9, -0.3];
        let second = Sizes::next(Some(first), Some(&moved), &(at + &moved), &g, &h);
        assert_eq!(second.now, array![4.0, 1.5, 0.3]);
    }
}
