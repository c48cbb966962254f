//! The measurements of a gradient in words: how far it comes back, by what, and remedies.

use std::sync::Arc;

use super::story::{Gate, Story, ValueStats};
use crate::language::Lang;

/// Less than this share of a gradient counts as lost.
const LOST: f64 = 0.01;
/// A gate or a matrix that keeps at least this share at each step is no cause of a loss.
const KEPT: f64 = 0.97;
/// A function passes little if its mean slope is below this share of its largest one.
const FLAT: f64 = 0.3;
/// A gradient explodes if it grows by more than this factor.
const GROWN: f64 = 10.0;
/// Truncation is too short if it leaves out more than this share.
const LEFT_OUT: f64 = 0.05;

/// A cause of a gradient that vanishes, explodes or is incomplete.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// The gate of a state keeps only this factor at each step.
    ClosedGate {
        /// The state.
        state: Arc<str>,
        /// The gate.
        gate: Arc<str>,
        /// The factor of a step.
        factor: f64,
    },
    /// The same, with a gate whose bias is zero on average.
    ZeroBias {
        /// The gate.
        gate: Arc<str>,
        /// The parameter.
        bias: Arc<str>,
        /// The mean of the gate.
        mean: f64,
    },
    /// A function works where it is flat.
    Saturated {
        /// The value.
        value: Arc<str>,
        /// The share of its entries at the ends of its range.
        share: f64,
        /// Its mean slope, relative to the largest.
        slope: f64,
    },
    /// Units have a slope of zero at all steps.
    Dead {
        /// The value.
        value: Arc<str>,
        /// The share of such units.
        share: f64,
    },
    /// A recurrent matrix contracts.
    SmallMatrix {
        /// The parameter.
        parameter: Arc<str>,
        /// Its spectral radius.
        radius: f64,
    },
    /// A recurrent matrix expands.
    LargeMatrix {
        /// The parameter.
        parameter: Arc<str>,
        /// Its spectral radius.
        radius: f64,
    },
    /// The gradient grows by the paths beside the gates.
    Growth {
        /// The mean growth of a step.
        factor: f64,
    },
    /// Bounded states move apart exponentially.
    Chaos {
        /// The mean growth of a step.
        factor: f64,
    },
    /// Only the last step has a loss.
    LossAtEnd,
    /// Truncation leaves out much of the gradient.
    ShortTruncation {
        /// The steps that are kept.
        steps: usize,
        /// The norm of the rest, relative to the gradient.
        left_out: f64,
    },
}

impl Story {
    /// The same measurements with a truncation after this number of steps in mind.
    #[must_use]
    pub fn truncated(self, steps: usize) -> Self {
        Self {
            truncation: Some(steps),
            ..self
        }
    }

    /// True if the gradient of the states vanishes within the run: less than 1 % arrives from some steps back.
    #[must_use]
    pub fn vanishes(&self) -> bool {
        self.lags.lost_after(LOST).is_some_and(|lag| lag > 0)
    }

    /// True if the gradient of the states grows more than tenfold on its way back.
    #[must_use]
    pub fn explodes(&self) -> bool {
        !self.vanishes() && self.last_arrival().1 > GROWN
    }

    /// The largest lag that was told apart, and the share that arrives from there.
    fn last_arrival(&self) -> (usize, f64) {
        let mut told = self.lags.bins().iter().filter(|bin| !bin.further);
        told.next_back()
            .map_or((0, 1.0), |bin| (bin.lag, bin.arrival))
    }

    /// The causes that the measurements show.
    #[must_use]
    pub fn causes(&self) -> Vec<Cause> {
        let mut causes = Vec::new();
        if self.vanishes() {
            causes.extend(self.gates.iter().filter(|g| g.factor < KEPT).map(closed));
            let flat = self
                .values
                .iter()
                .filter(|v| !self.is_gate(v) && self.is_on_the_way(v));
            causes.extend(flat.filter_map(saturated));
            if self.gates.is_empty() {
                let small = self.matrices.iter().filter(|m| m.radius < KEPT);
                causes.extend(small.map(|m| Cause::SmallMatrix {
                    parameter: Arc::clone(&m.parameter),
                    radius: m.radius,
                }));
            }
        }
        let dead = |v: &ValueStats| v.dead.filter(|share| *share >= FLAT);
        causes.extend(self.values.iter().filter_map(|v| {
            Some(Cause::Dead {
                value: Arc::clone(&v.name),
                share: dead(v)?,
            })
        }));
        if self.explodes() {
            let (lag, _) = self.last_arrival();
            let factor = self.lags.factor(lag).unwrap_or(f64::INFINITY);
            // A matrix inside of a gate acts with the slope of the gate, which its radius does not tell.
            if self.gates.is_empty() {
                let large = self.matrices.iter().filter(|m| m.radius > 1.0);
                causes.extend(large.map(|m| Cause::LargeMatrix {
                    parameter: Arc::clone(&m.parameter),
                    radius: m.radius,
                }));
            } else {
                causes.push(Cause::Growth { factor });
            }
            if self.is_bounded() {
                causes.push(Cause::Chaos { factor });
            }
        }
        let direct = self.lags.direct();
        let with_loss = direct.iter().filter(|norm| **norm > 0.0).count();
        if direct.len() > 2 && with_loss == 1 && direct.last().is_some_and(|norm| *norm > 0.0) {
            causes.push(Cause::LossAtEnd);
        }
        if let Some(steps) = self.truncation
            && let Some(bin) = steps.checked_sub(1).and_then(|lag| self.lags.at(lag))
            && bin.left_out > LEFT_OUT
        {
            causes.push(Cause::ShortTruncation {
                steps,
                left_out: bin.left_out,
            });
        }
        causes
    }

    fn is_gate(&self, value: &ValueStats) -> bool {
        self.gates.iter().any(|gate| gate.gate == value.name)
    }

    /// Returns true if later states depend on a value: its error terms before the last step are not those of the loss alone.
    fn is_on_the_way(&self, value: &ValueStats) -> bool {
        self.recurrent.contains(&value.name)
    }

    /// Returns true if every state is the value of a function with a range.
    fn is_bounded(&self) -> bool {
        let mut states = self.lags.states();
        states.all(|state| {
            let mut values = self.values.iter();
            values.any(|v| *v.name == *state && v.saturated.is_some())
        })
    }

    /// The verdict in words, a sentence or two for each finding: how far the gradient comes back, the causes with their
    /// numbers, and remedies.
    #[must_use]
    pub fn verdict(&self, lang: Lang) -> Vec<String> {
        let mut said = vec![self.reach(lang)];
        said.extend(self.memory(lang));
        let causes = self.causes();
        let told = self
            .gates
            .iter()
            .filter(|gate| !self.vanishes() || gate.factor >= KEPT);
        said.extend(told.map(|gate| open(gate, lang)));
        said.extend(causes.iter().map(|cause| self.told(cause, lang)));
        said
    }

    fn reach(&self, lang: Lang) -> String {
        let (lag, arrives) = self.last_arrival();
        let grown = number(arrives);
        let share = percent(arrives);
        match (self.lags.lost_after(LOST).filter(|lag| *lag > 0), lang) {
            (Some(n), Lang::En) => {
                format!(
                    "From {n} {} back less than 1 % of the gradient of the states arrives.",
                    steps(n)
                )
            }
            (Some(n), Lang::Zh) => format!("状态的梯度往回传 {n} 步，就只剩不到 1 %。"),
            (None, _) if lag == 0 => self.nothing_back(lang).into(),
            (None, Lang::En) if arrives > GROWN => {
                format!(
                    "The gradient of the states grows on its way back: {lag} {} back it is {grown} times as large.",
                    steps(lag)
                )
            }
            (None, Lang::Zh) if arrives > GROWN => {
                format!("状态的梯度越往回传越大：往回 {lag} 步，增大到 {grown} 倍。")
            }
            (None, Lang::En) => format!(
                "From {lag} {} back {share} of the gradient of the states arrives.",
                steps(lag)
            ),
            (None, Lang::Zh) => format!("状态的梯度往回传 {lag} 步，还剩 {share}。"),
        }
    }

    /// The reason why no gradient goes back.
    fn nothing_back(&self, lang: Lang) -> &'static str {
        match (self.lags.states().next(), lang) {
            (None, Lang::En) => "No step reads another one, so no gradient goes back in time.",
            (None, Lang::Zh) => "各时刻互不相关，没有梯度沿时间传回。",
            (Some(_), Lang::En) => {
                "No gradient goes back in time: the derivative of the states by the states that a step reads is zero, or there \
                 is one step alone."
            }
            (Some(_), Lang::Zh) => {
                "没有梯度沿时间传回：状态对所读状态的导数为零，或者只有一个时刻。"
            }
        }
    }

    /// The lag within which 90 % of the gradient arises.
    fn memory(&self, lang: Lang) -> Option<String> {
        self.lags.parameters().iter().find(|p| p.recurrent)?;
        let within = self.lags.memory(0.9)?;
        Some(match lang {
            Lang::En => format!(
                "90 % of the gradient of the recurrent parameters arises within {within} {}.",
                steps(within)
            ),
            Lang::Zh => format!("循环参数的梯度，90 % 来自 {within} 步以内。"),
        })
    }

    fn told(&self, cause: &Cause, lang: Lang) -> String {
        let is_en = lang == Lang::En;
        match cause {
            Cause::ClosedGate {
                state,
                gate,
                factor,
            } => {
                let lag = self.lags.lost_after(LOST).unwrap_or(0);
                let alone = factor.powf(lag as f64);
                let whole = self.lags.at(lag).map_or(0.0, |bin| bin.arrival);
                let (f, power, rest) = (number(*factor), number(alone), number(whole));
                let found = self.gates.iter().find(|g| g.gate == *gate);
                let bias = found.and_then(|g| g.bias.as_ref());
                let mut said = match is_en {
                    true => format!(
                        "The most open unit of the gate `{gate}` of `{state}` keeps a factor of {f} at each step, \
                         {f}^{lag} = {power}; by all paths together {rest} arrives."
                    ),
                    false => format!(
                        "`{state}` 的门 `{gate}` 中开得最大的单元每步保留 {f} 倍，{f}^{lag} = {power}；所有路径合计传回 {rest}。"
                    ),
                };
                if let Some(bias) = bias {
                    said += &match is_en {
                        true => {
                            format!(
                                " Remedy for a new fit: a larger `{bias}` at the start, which opens the gate."
                            )
                        }
                        false => format!("重新拟合时，可增大 `{bias}` 的初值，让门打开。"),
                    };
                }
                said
            }
            Cause::ZeroBias { gate, bias, mean } => match is_en {
                true => format!(
                    "The gate `{gate}` averages {}, since its bias `{bias}` is near zero. Remedy: start `{bias}` at 1 to 3, as in \
                     `param {bias}[…] = 1`.",
                    number(*mean)
                ),
                false => format!(
                    "门 `{gate}` 平均为 {}，因为它的偏置 `{bias}` 接近零。办法：让 `{bias}` 从 1 到 3 开始，\
                     如 `param {bias}[…] = 1`。",
                    number(*mean)
                ),
            },
            Cause::Saturated {
                value,
                share,
                slope,
            } => match is_en {
                true => format!(
                    "`{value}` is saturated: {} of its entries lie at the ends of its range, and its slope averages {} of the \
                     largest. Remedy: smaller weights or scaled inputs.",
                    percent(*share),
                    percent(*slope)
                ),
                false => format!(
                    "`{value}` 已经饱和：{} 的元素位于取值范围的两端，斜率平均只有最大值的 {}。\
                     办法：减小权重，或缩小输入。",
                    percent(*share),
                    percent(*slope)
                ),
            },
            Cause::Dead { value, share } => match is_en {
                true => format!(
                    "{} of the units of `{value}` are dead: their slope is zero at every step, so no gradient passes them. Remedy: \
                     a positive bias at the start, a smaller learning rate, or a function that is flat nowhere.",
                    percent(*share)
                ),
                false => format!(
                    "`{value}` 有 {} 的单元已经失活：每一步斜率都为零，梯度无法通过。办法：初始偏置取正值、\
                     减小学习率，或改用处处不平坦的函数。",
                    percent(*share)
                ),
            },
            Cause::SmallMatrix { parameter, radius } => match is_en {
                true => format!(
                    "`{parameter}` has spectral radius {}, so products of Jacobians shrink. Remedy: an orthogonal start, as in \
                     `param {parameter}[…] ~ orthogonal(1)`, or gates.",
                    number(*radius)
                ),
                false => format!(
                    "`{parameter}` 的谱半径为 {}，雅可比矩阵的连乘因此不断缩小。办法：用正交矩阵作初值，\
                     如 `param {parameter}[…] ~ orthogonal(1)`，或者加门。",
                    number(*radius)
                ),
            },
            Cause::LargeMatrix { parameter, radius } => match is_en {
                true => format!(
                    "`{parameter}` has spectral radius {}, above 1. Remedy: clip the gradient (`bptt fit --clip 1`), or start with an \
                     orthogonal matrix.",
                    number(*radius)
                ),
                false => format!(
                    "`{parameter}` 的谱半径为 {}，大于 1。办法：裁剪梯度（`bptt fit --clip 1`），或用正交矩阵作初值。",
                    number(*radius)
                ),
            },
            Cause::Growth { factor } => match is_en {
                true => format!(
                    "It grows by a factor of {} at each step, by the paths through other values than the gated state alone. Remedy: \
                     clip the gradient (`bptt fit --clip 1`), or start with smaller recurrent weights.",
                    number(*factor)
                ),
                false => format!(
                    "它每步增大到 {} 倍，来自经过其他量的路径，而不只是门控状态本身。办法：裁剪梯度\
                     （`bptt fit --clip 1`），或减小循环权重的初值。",
                    number(*factor)
                ),
            },
            Cause::Chaos { factor } => match is_en {
                true => format!(
                    "The states are bounded, and yet neighbouring ones move apart by a factor of {} at each step: the run is chaotic, \
                     and its gradient says little about distant steps. Remedy: smaller recurrent weights, or truncation.",
                    number(*factor)
                ),
                false => format!(
                    "状态有界，而相邻的状态每步仍以 {} 倍的速度分开：这段运行是混沌的，它的梯度对较远的时刻说明不了什么。\
                     办法：减小循环权重，或者截断。",
                    number(*factor)
                ),
            },
            Cause::LossAtEnd => {
                let (lag, arrives) = self.last_arrival();
                let arrives = percent(arrives);
                match is_en {
                    true => format!(
                        "Only the last step has a loss: all that early steps learn comes back from there, {arrives} over {lag} {}. \
                         Remedy: a loss at more steps, if there are targets.",
                        steps(lag)
                    ),
                    false => format!(
                        "只有最后一步有损失：较早的时刻只能从那里得到误差，传回 {lag} 步剩 {arrives}。\
                         办法：如有目标值，在更多时刻计算损失。"
                    ),
                }
            }
            Cause::ShortTruncation { steps: n, left_out } => match is_en {
                true => format!(
                    "Truncation after {n} {} leaves out {} of the gradient. Remedy: a longer window.",
                    steps(*n),
                    percent(*left_out)
                ),
                false => format!(
                    "截断到 {n} 步，会漏掉梯度的 {}。办法：加长窗口。",
                    percent(*left_out)
                ),
            },
        }
    }
}

fn closed(gate: &Gate) -> Cause {
    match (&gate.bias, gate.bias_mean) {
        (Some(bias), Some(mean)) if mean.abs() < 0.25 && (0.3..0.7).contains(&gate.mean) => {
            Cause::ZeroBias {
                gate: Arc::clone(&gate.gate),
                bias: Arc::clone(bias),
                mean: gate.mean,
            }
        }
        _ => Cause::ClosedGate {
            state: Arc::clone(&gate.state),
            gate: Arc::clone(&gate.gate),
            factor: gate.factor,
        },
    }
}

fn saturated(value: &ValueStats) -> Option<Cause> {
    let share = value.saturated?.iter().sum();
    let slope = value.slope?;
    (slope < FLAT && share > 0.5).then(|| Cause::Saturated {
        value: Arc::clone(&value.name),
        share,
        slope,
    })
}

/// A gate through which the gradient passes.
fn open(gate: &Gate, lang: Lang) -> String {
    let Gate {
        state,
        gate,
        mean,
        factor,
        ..
    } = gate;
    let (mean, factor) = (number(*mean), number(*factor));
    match lang {
        Lang::En => format!(
            "The gate `{gate}` of `{state}` averages {mean}; its most open unit keeps a factor of {factor} at each step."
        ),
        Lang::Zh => format!(
            "`{state}` 的门 `{gate}` 平均为 {mean}，其中开得最大的单元每步保留 {factor} 倍。"
        ),
    }
}

fn steps(n: usize) -> &'static str {
    match n {
        1 => "step",
        _ => "steps",
    }
}

/// A number with two or three digits.
fn number(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        a if !(0.001..10_000.0).contains(&a) => format!("{x:.1e}"),
        a if a < 0.1 => format!("{x:.3}"),
        a if a < 10.0 => format!("{x:.2}"),
        _ => format!("{x:.0}"),
    }
}

fn percent(share: f64) -> String {
    match 100.0 * share {
        0.0 => "0 %".into(),
        p if p < 0.1 => format!("{p:.0e} %"),
        p if p < 10.0 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}
