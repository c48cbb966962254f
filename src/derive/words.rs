//! Every sentence of a derivation, in English and in Chinese.
//!
//! Formulas inside sentences stand between backquotes; both languages must have the same ones,
//! which a test holds them to.

use super::{Level, Part};

/// The language of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

impl Lang {
    /// Both languages.
    pub const ALL: &'static [Self] = &[Self::En, Self::Zh];

    /// The code of the language.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
}

macro_rules! words {
    ($($(#[doc = $doc:literal])+ $word:ident: $en:literal, $zh:literal;)+) => {
        /// A sentence or a word; `{…}` is put in where it stands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Word {
            $($(#[doc = $doc])+ $word,)+
        }

        impl Word {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$word),+];

            /// The text.
            #[must_use]
            pub const fn text(self, lang: Lang) -> &'static str {
                match (self, lang) {
                    $((Self::$word, Lang::En) => $en, (Self::$word, Lang::Zh) => $zh,)+
                }
            }
        }
    };
}

words! {
    /// The title of a document.
    Title: "The gradient of {name}, derived", "{name} 的梯度推导";
    /// What a document is.
    Lead: "Every line below is read off the graph that computes the gradient, and both of its sides have been evaluated, as printed, on random runs.",
        "下面每一行都直接读自计算梯度的那张图，等式两边按印出来的样子在随机数据上求值并核对过。";
    /// The heading of the conventions.
    Conventions: "Conventions", "约定";
    /// Vectors.
    ConventionVectors: "Vectors are columns; `⊙` multiplies entry by entry; `𝟏` is all ones; `⟨A, B⟩` is the sum of the products of the entries.",
        "向量都是列向量；`⊙` 表示逐元素相乘；`𝟏` 的元素全为 1；`⟨A, B⟩` 是对应元素乘积之和。";
    /// Layout.
    ConventionLayout: "`∂L/∂X` has the shape of `X`. The Jacobian `∂y/∂x` has one row for each entry of `y`, so that `dy = (∂y/∂x) dx`.",
        "`∂L/∂X` 与 `X` 形状相同。雅可比矩阵 `∂y/∂x` 的每一行对应 `y` 的一个元素，因此 `dy = (∂y/∂x) dx`。";
    /// δ.
    ConventionDelta: "`δᵛₜ` is the gradient with respect to `ε` when the value of `v` at step `t` is replaced by that value plus `ε`, everything that follows being computed from it: the total derivative.",
        "`δᵛₜ` 的定义：把 `t` 时刻 `v` 的值换成该值加 `ε`，其后的一切随之重新计算，`δᵛₜ` 就是对 `ε` 的梯度，即全导数。";
    /// Products.
    ConventionProduct: "In a product of Jacobians the later step stands on the left; an empty product is the identity.",
        "雅可比矩阵连乘时，较晚的时刻写在左边；空的连乘是单位矩阵。";
    /// Boundaries.
    ConventionBoundary: "Whatever lies beyond the last step has `δ = 0`. `[t < T]` is 1 where it holds, else 0.",
        "最后一个时刻以后 `δ = 0`。`[t < T]` 在条件成立时为 1，否则为 0。";
    /// One sequence.
    ConventionBatch: "Lines are for one sequence; for a batch, the gradients of parameters are summed over its sequences.",
        "各行针对一个序列；对一个批次，参数的梯度再对其中的序列求和。";
    /// Immediate and total.
    ConventionState: "A block of `Jₜ` says how one state at step `t` depends on another before the step, all other states before the step being held fixed.",
        "`Jₜ` 的一个分块表示 `t` 时刻的一个状态对前一时刻另一状态的依赖，前一时刻的其余状态保持不变。";
    /// Kinks.
    Kinks: "Some functions here have no derivative at single points; the lines hold almost everywhere.",
        "其中有的函数在个别点不可导；各式几乎处处成立。";
    /// Heading.
    Definition: "Definition", "定义";
    /// Heading.
    Theorem: "The general theorem", "一般定理";
    /// Heading.
    Differentials: "One step, linearised", "一步的微分";
    /// Heading.
    Adjoints: "Each line, transposed", "逐行取伴随";
    /// Heading.
    Recursion: "The error terms δ", "误差项 δ 的递推";
    /// Heading.
    Parameters: "Gradients of the parameters: sums over time", "参数的梯度：对时间求和";
    /// Heading.
    Inputs: "Gradients of inputs and initial states", "输入与初始状态的梯度";
    /// Heading.
    Jacobian: "The Jacobian of the state", "状态的雅可比矩阵";
    /// Heading.
    Carousel: "The constant error carousel", "恒定误差传送带";
    /// Heading.
    Bridge: "From the double sum to the recursion", "从二重求和到递推";
    /// Heading.
    Truncation: "Truncation", "截断";
    /// Heading.
    Bounds: "Vanishing and exploding", "梯度消失与梯度爆炸";
    /// What the definition is.
    DefinitionIntro: "One step of the recurrence, what it starts from, and the loss.",
        "递推的一步、初始值与损失函数。";
    /// What the theorem says.
    TheoremIntro: "With all states stacked into `sₜ` and the rules below, four lines prove backpropagation through time for any recurrence. The last line here is that theorem for this one.",
        "把全部状态堆叠为 `sₜ`，下面四行即对任意递推证明了随时间反向传播。最后一行是该定理在本例中的形式。";
    /// What the differentials are.
    DifferentialsIntro: "Each equation of the definition, differentiated by the product rules and the chain rule.",
        "对定义中的每个等式用乘积法则和链式法则求微分。";
    /// What the adjoints are.
    AdjointsIntro: "`δ` is moved from the left of each differential to what the differential is made of. No Jacobian is needed, and no tensor.",
        "把 `δ` 从微分的一侧移到构成它的各项上，不需要雅可比矩阵，更不需要张量。";
    /// What the recursion is.
    RecursionIntro: "The error term of a value is the sum of what all its readers send back. A value read at the next step gets its share from there: time runs backwards.",
        "一个值的误差项，是所有读取它的量传回来的各项之和。下一时刻读取它的量，从下一时刻传回：时间倒着走。";
    /// What the parameter gradients are.
    ParametersIntro: "A parameter is used at every step; give each step its own copy, then set the copies equal: the gradients add up.",
        "参数在每一步都被使用：先给每一步各自的副本，再令副本相等，梯度便相加。";
    /// What the input gradients are.
    InputsIntro: "Inputs are read at their own step only; an initial state is read at the first.",
        "输入只在自己的时刻被读取，初始状态只在第一步被读取。";
    /// What the Jacobian is.
    JacobianIntro: "How the state depends on the state one step before, and, multiplied up, on the state any number of steps before.",
        "状态如何依赖于前一时刻的状态；连乘之后，便是如何依赖于更早的状态。";
    /// A caution.
    JacobianCaution: "With several states there are three different things called `∂cₜ/∂cₜ₋₁`: a block of `Jₜ`, with the other states held fixed; the derivative in which they follow; and, over many steps, the product of whole Jacobians, which is not the product of the one-step derivatives of one state.",
        "有多个状态时，`∂cₜ/∂cₜ₋₁` 有三种不同的含义：`Jₜ` 的一个分块，其余状态保持不变；其余状态随之变化的导数；以及跨越多步时整个雅可比矩阵的连乘，它并不等于单个状态的一步导数的连乘。";
    /// What the carousel is.
    CarouselIntro: "A state that is only scaled, entry by entry, and added to. Forward memory and backward error are weighted by the same products of gates.",
        "这个状态每一步只被逐元素缩放再加上新的内容。前向的记忆与反向的误差由同样的门的乘积加权。";
    /// What the carousel does not do.
    CarouselCaution: "This path never explodes, and with gates near one it hardly vanishes. It is one path of many: the paths through the gates can still vanish or explode.",
        "这条路径永远不会爆炸，门接近 1 时也几乎不消失。但它只是众多路径之一：经过各个门的路径仍可能消失或爆炸。";
    /// What the bridge is.
    BridgeIntro: "Expanding the chain rule forwards gives a sum over all pairs of steps. Exchanging the order of summation and taking the common factor out gives the recursion: from `T²` terms to `T`.",
        "把链式法则向前展开，得到对所有时刻对的求和。交换求和次序并提取公因子，便得到递推：项数由 `T²` 降为 `T`。";
    /// What truncation is.
    TruncationIntro: "A window lets each loss look back `τ` steps: of the sums on the right the last one is left out, and it is exactly the error. Cutting the sequence into chunks of `τ` steps is something else: there the recursion starts again at each cut.",
        "滑动窗口截断让每个损失只回看 `τ` 步：右边最后一个和被略去，它恰好就是误差。把序列切成每段 `τ` 步是另一回事：递推在每个切口处重新开始。";
    /// What bounds are.
    BoundsIntro: "The norm of a product is at most the product of the norms.",
        "乘积的范数不超过范数的乘积。";
    /// What is sufficient and what is necessary.
    BoundsWords: "If every factor is below some number less than 1, the product vanishes exponentially: that is sufficient, not necessary. For the product to grow exponentially some factors must exceed 1: that is necessary, not sufficient. Norms are meant, not eigenvalues: the spectral radius of a product is not bounded by those of the factors. What vanishes is the contribution of distant steps; the gradient of a parameter as a whole is then dominated by near ones.",
        "若每个因子都不超过某个小于 1 的数，乘积必按指数消失：这是充分条件，不是必要条件。乘积要按指数增长，必须有因子大于 1：这是必要条件，不是充分条件。这里说的是范数，不是特征值：乘积的谱半径不受各因子谱半径的约束。消失的是相距较远的时刻的贡献；此时整个参数梯度由相距较近的时刻主导。";
    /// A badge.
    Checked: "checked", "已核对";
    /// A badge.
    Holds: "holds; at its tightest {ratio} of the bound", "成立；最紧处为上界的 {ratio}";
    /// A badge.
    Failed: "does not hold", "不成立";
    /// A badge.
    Unchecked: "not checked", "未核对";
    /// Before the rules of a line.
    By: "by", "依据";
    /// Before the lines a line is made from.
    From: "from", "由";
    /// Before the uses of rules.
    Steps: "{count} uses of rules", "{count} 次使用规则";
    /// The range of a line.
    For: "for", "对";
    /// The heading of the rules.
    Rules: "Rules", "规则";
    /// The heading of the figures.
    Unrolled: "Three steps, unrolled", "按时间展开的三个时间步";
    /// Under the figure.
    UnrolledCaption: "Solid: the forward pass. Dashed: the error terms, against the arrows. Every box leads to its equation.",
        "实线：前向传播。虚线：误差项，逆着箭头传播。点击方框可跳到对应的等式。";
    /// The heading of the heat map.
    Heat: "How far a state reaches", "状态影响多远";
    /// Under the heat map.
    HeatCaption: "The norm of the Jacobian from step k to step t on a random run (left), and the product of the norms that bounds it (right), by their decimal logarithms.",
        "一次随机运行中从时刻 k 到时刻 t 的雅可比矩阵的范数（左），以及作为其上界的范数之积（右），取常用对数。";
    /// The summary of the checks.
    Summary: "{passed} lines checked, {failed} wrong, {unchecked} without a check; worst relative difference {worst}",
        "共核对 {passed} 行，错误 {failed} 行，未核对 {unchecked} 行；最大相对误差 {worst}";
    /// The switch of languages.
    Language: "English", "中文";
    /// The heading of the contents.
    Contents: "Contents", "目录";
}

impl Word {
    /// The text with `{key}` replaced by values.
    #[must_use]
    pub fn with(self, lang: Lang, values: &[(&str, &str)]) -> String {
        let mut text = self.text(lang).to_owned();
        for (key, value) in values {
            text = text.replace(&format!("{{{key}}}"), value);
        }
        text
    }
}

impl Part {
    /// The heading.
    #[must_use]
    pub const fn heading(self) -> Word {
        match self {
            Self::Definition => Word::Definition,
            Self::Theorem => Word::Theorem,
            Self::Differentials => Word::Differentials,
            Self::Adjoints => Word::Adjoints,
            Self::Recursion => Word::Recursion,
            Self::Parameters => Word::Parameters,
            Self::Inputs => Word::Inputs,
            Self::Jacobian => Word::Jacobian,
            Self::Carousel => Word::Carousel,
            Self::Bridge => Word::Bridge,
            Self::Truncation => Word::Truncation,
            Self::Bounds => Word::Bounds,
        }
    }

    /// What stands under the heading, and after the lines.
    #[must_use]
    pub const fn prose(self) -> (Word, Option<Word>) {
        match self {
            Self::Definition => (Word::DefinitionIntro, None),
            Self::Theorem => (Word::TheoremIntro, None),
            Self::Differentials => (Word::DifferentialsIntro, None),
            Self::Adjoints => (Word::AdjointsIntro, None),
            Self::Recursion => (Word::RecursionIntro, None),
            Self::Parameters => (Word::ParametersIntro, None),
            Self::Inputs => (Word::InputsIntro, None),
            Self::Jacobian => (Word::JacobianIntro, Some(Word::JacobianCaution)),
            Self::Carousel => (Word::CarouselIntro, Some(Word::CarouselCaution)),
            Self::Bridge => (Word::BridgeIntro, None),
            Self::Truncation => (Word::TruncationIntro, None),
            Self::Bounds => (Word::BoundsIntro, Some(Word::BoundsWords)),
        }
    }
}

impl Level {
    /// Every level, from the least.
    pub const ALL: &'static [Self] = &[Self::Sheet, Self::Normal, Self::Full];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sheet => "sheet",
            Self::Normal => "normal",
            Self::Full => "full",
        }
    }
}
