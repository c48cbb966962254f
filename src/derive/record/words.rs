//! Every sentence of a derivation, in English and in Chinese.
//!
//! Formulas inside sentences stand between backquotes; both languages must have the same ones,
//! which a test holds them to.

use super::part::{Level, Part};

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
    /// Parts of vectors and matrices.
    ConventionParts: "`x_{a:b}` are the entries `a` to `b` of `x`, counted from 1; `W_{a:b,:}` are rows of `W`, `W_{:,a:b}` columns; `𝐈_{n}` is the identity matrix of size `n`.",
        "`x_{a:b}` 是 `x` 的第 `a` 到第 `b` 个元素（从 1 数起）；`W_{a:b,:}` 是 `W` 的若干行，`W_{:,a:b}` 是若干列；`𝐈_{n}` 是 `n` 阶单位矩阵。";
    /// Unit vectors.
    ConventionUnit: "`𝐞_{c}` is the unit vector of the class `c`: 1 at its place, else 0.",
        "`𝐞_{c}` 是类别 `c` 的单位向量：该位置为 1，其余为 0。";
    /// Boundaries.
    ConventionBoundary: "Whatever lies beyond the last step has `δ = 0`. `[t < T]` is 1 where it holds, else 0.",
        "最后一个时刻以后 `δ = 0`。`[t < T]` 在条件成立时为 1，否则为 0。";
    /// One sequence.
    ConventionBatch: "Lines are for one sequence; for a batch, the gradients of parameters are summed over its sequences.",
        "各行针对一个序列；对一个批次，参数的梯度再对其中的序列求和。";
    /// Immediate and total.
    ConventionState: "A block of `Jₜ` says how one state at step `t` depends on another before the step, all other states before the step being held fixed.",
        "`Jₜ` 的一个分块表示 `t` 时刻的一个状态对前一时刻另一状态的依赖，前一时刻的其余状态保持不变。";
    /// The chain that runs backwards.
    ConventionBack: "What is carried from the end of the sequence to its beginning has a tilde: its state is `s̃ₜ`, and `J̃ₜ` is the Jacobian of `s̃ₜ` with respect to `s̃ₜ₊₁`. In its products, written `∏` over `t ≤ j ≤ k − 1`, the earlier step stands on the left; its error terms run forwards in time.",
        "从序列末尾向开头传递的量带有波浪号：其状态为 `s̃ₜ`，`J̃ₜ` 是 `s̃ₜ` 对 `s̃ₜ₊₁` 的雅可比矩阵。它的连乘 `∏` 写作对 `t ≤ j ≤ k − 1`，较早的时刻写在左边；它的误差项顺着时间传播。";
    /// Delays.
    ConventionDelays: "The state `{s}ₜ` is the stack of everything that is carried on, each value with its delays: `[hₜ; hₜ₋₁; …]`. `∂⁺xₜ/∂yₖ` is the derivative in which everything else that is read from other steps is held fixed; in `Jₜ` the other rows only carry on what was there.",
        "状态 `{s}ₜ` 由所有向后传递的量堆叠而成，每个量连同它的各个滞后：`[hₜ; hₜ₋₁; …]`。`∂⁺xₜ/∂yₖ` 是从其他时刻读取的其余各量都保持不变时的导数；`Jₜ` 的其余各行只是把原有的量传下去。";
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
    Costate: "The state as a whole", "把状态看作整体";
    /// Heading.
    Stacked: "Stacked form", "堆叠形式";
    /// Heading.
    Truncation: "Truncation", "截断";
    /// Heading.
    Bounds: "Vanishing and exploding", "梯度消失与梯度爆炸";
    /// What the definition is.
    DefinitionIntro: "One step of the recurrence, what it starts from, and the loss.",
        "递推的一步、初始值与损失函数。";
    /// What the theorem says.
    TheoremIntro: "With all states stacked into `sₜ`, these lines prove backpropagation through time for any recurrence. They are the proof, not an instance, and are not evaluated; the line after them is the theorem for this recurrence, and is.",
        "把全部状态堆叠为 `sₜ`，下面几行即对任意递推证明了随时间反向传播。它们是证明而不是实例，不作数值核对；其后的一行是该定理在本例中的形式，已经核对。";
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
    JacobianCaution: "With several states there are three different things called `∂vₜ/∂vₜ₋₁`: a block of `Jₜ`, with the other states held fixed; the derivative in which they follow; and, over many steps, the product of whole Jacobians, which is not the product of the one-step derivatives of one state.",
        "有多个状态时，`∂vₜ/∂vₜ₋₁` 有三种不同的含义：其一是 `Jₜ` 的一个分块，其余状态保持不变；其二是其余状态随之变化时的导数；其三是跨越多步时整个雅可比矩阵的连乘，它并不等于单个状态一步导数的连乘。";
    /// What the carousel is.
    CarouselIntro: "A state that is only scaled, entry by entry, and added to. Forward memory and backward error are weighted by the same products of gates.",
        "这个状态每一步只被逐元素缩放再加上新的内容。前向的记忆与反向的误差由同样的门的乘积加权。";
    /// What the carousel does not do.
    CarouselCaution: "This path never explodes, and with gates near one it hardly vanishes: at a constant gate `f` half is left after `ln ½ / ln f` steps, that is after 1.0, 2.2, 5.5, 14.3 and 103 steps for `f = σ(b)` with `b` = 0, 1, 2, 3 and 5. It is one path of many: the paths through the gates can still vanish or explode. Where `δ` of this state is split into two sums, the first is what comes back along this path alone, the truncated gradient with which the LSTM was introduced in 1997; the second is exactly what that leaves out.",
        "这条路径永远不会爆炸，门接近 1 时也几乎不消失：门恒为 `f` 时，经过 `ln ½ / ln f` 步减半；对 `f = σ(b)`，`b` 取 0、1、2、3、5 时分别为 1.0、2.2、5.5、14.3、103 步。但它只是众多路径之一：经过各个门的路径仍可能消失或爆炸。上面把该状态的 `δ` 拆成两个和：第一个和只沿这条路径返回，就是 1997 年提出 LSTM 时所用的截断梯度；第二个和恰好是它所略去的部分。";
    /// What the bridge is.
    BridgeIntro: "Expanding the chain rule forwards gives a sum over all pairs of steps. Exchanging the order of summation and taking the common factor out gives the recursion: from `T²` terms to `T`.",
        "把链式法则向前展开，得到对所有时刻对的求和。交换求和次序并提取公因子，便得到递推：项数由 `T²` 降为 `T`。";
    /// What the costate is.
    CostateIntro: "`δ` of a state contains what other states of the same step send back to it. `λ` is its own share: the gradient with respect to a perturbation that no other state of that step sees. Both are written `∂L/∂vₜ` in the literature, and they differ; at `t = 0` they are the same, since no other state is computed from an initial state in its own step.",
        "一个状态的 `δ` 还包含同一时刻其他状态传回来的量；`λ` 是它自己的一份：对该状态施加扰动，而同一时刻的其他状态看不到这一扰动，此时的梯度就是 `λ`。文献中两者都写作 `∂L/∂vₜ`，其实并不相同；在 `t = 0` 时两者相同，因为同一时刻没有别的状态由初始状态算出。";
    /// What the stacked form is.
    StackedIntro: "Values that are computed alike are one value, with their matrices below each other. The order of the blocks is that of the definition; libraries differ in it.",
        "算法相同的几个量可以看作一个量，它们的矩阵上下堆叠。分块的次序就是定义中的次序；各种库采用的次序不尽相同。";
    /// What truncation is.
    TruncationIntro: "A window lets each loss look back `τ` steps. Frameworks mostly do something else: they cut the sequence into chunks of `τ` steps between which nothing goes back. There `[τ ∤ t]` is 0 where a chunk ends and 1 elsewhere, and `e(k) = min(T, τ⌈k/τ⌉)` is the last step of the chunk of `k`. In both cases the last sum of the gradient is exactly what is left out. A window costs of the order of `T τ` terms, chunks cost `T`.",
        "滑动窗口截断让每个损失只回看 `τ` 步。各种框架所做的多半是另一件事：把序列切成每段 `τ` 步，段与段之间不再向前传回。这里 `[τ ∤ t]` 在一段结束处为 0，其余为 1；`e(k) = min(T, τ⌈k/τ⌉)` 是 `k` 所在的那一段的最后一个时刻。两种情形下，梯度的最后一个和都恰好是被略去的部分。滑动窗口的计算量约为 `T τ` 项，分段为 `T` 项。";
    /// What bounds are.
    BoundsIntro: "The norm of a product is at most the product of the norms. The norm is the largest singular value; for vectors it is the length.",
        "乘积的范数不超过范数的乘积。这里的范数是最大奇异值（谱范数）；对向量则是长度。";
    /// What is sufficient and what is necessary.
    BoundsWords: "Sufficient: if `{q} < 1`, what comes from distant steps vanishes exponentially. It is not necessary: it can vanish with larger `{q}`. Necessary: for products to grow exponentially, `{q} > 1` is needed. It is not sufficient: a matrix of norm 5 can have powers that vanish. Norms are meant, not eigenvalues: the spectral radius of a product is not bounded by those of the factors, and the factors differ from step to step. What vanishes is the contribution of distant steps; the gradient of a parameter as a whole is then dominated by near ones. A bound is not a value: look at the actual norms beside it.",
        "充分条件：若 `{q} < 1`，来自远处时刻的部分必按指数消失；但这不是必要条件，`{q}` 更大时它也可能消失。必要条件：乘积要按指数增长，必须有 `{q} > 1`；但这不是充分条件，范数为 5 的矩阵，其幂也可能趋于零。这里说的是范数，不是特征值：乘积的谱半径不受各因子谱半径的约束，而各步的因子又互不相同。消失的是相距较远的时刻的贡献；此时整个参数梯度由相距较近的时刻主导。上界不是真实的值：要看旁边真实的范数。";
    /// What the norm of a companion matrix says.
    BoundsDelays: "The rows of `Jₜ` that only carry on what was there have norm 1, so that `{q} ≥ 1` whatever the weights are: with several lags `{q}` never shows that anything vanishes. The sum of the norms of what one step reads together does: below 1, a perturbation shrinks at least by that sum in as many steps as the longest lag has.",
        "`Jₜ` 中只把原有的量传下去的各行，范数为 1，因此无论权重如何总有 `{q} ≥ 1`：有多个滞后时，`{q}` 永远不能说明梯度消失。能说明的是一步之中同时读取的各部分的范数之和：它小于 1 时，每经过最长滞后那么多步，扰动至少按这个和缩小一次。";
    /// A badge.
    Checked: "checked", "已核对";
    /// A badge.
    Holds: "holds; at its tightest {ratio} of the bound", "成立；最紧处为上界的 {ratio}";
    /// A badge.
    Failed: "does not hold", "不成立";
    /// A badge.
    Unchecked: "not checked", "未核对";
    /// Why a line was not checked.
    WithoutSize: "it has ones, an identity or a zero whose size only the context tells",
        "其中的全 1 向量、单位矩阵或零，其大小只能由上下文得知";
    /// Why a line was not checked.
    ConditionNeverMet: "its condition is met on none of the runs",
        "没有一次运行满足它的条件";
    /// Before the rules of a line.
    By: "by", "依据";
    /// Before the lines a line is made from.
    From: "from", "由";
    /// Before the uses of rules.
    Steps: "uses of rules: {count}", "{count} 次使用规则";
    /// The range of a line.
    For: "for", "对";
    /// The heading of the rules.
    Rules: "Rules", "规则";
    /// The heading of the figures.
    Unrolled: "Three steps, unrolled",
        "按时间展开的三个时间步";
    /// Under the figure.
    UnrolledCaption: "Solid: the forward pass. Dashed: the error terms, against the arrows; the number is that of the line in which they arrive. Every box leads to its equation.",
        "实线：前向传播。虚线：误差项，逆着箭头传播；编号是误差项所到达的那一行。点击方框可跳到对应的等式。";
    /// A way through the figure.
    KeyStep: "within a step", "同一时刻之内";
    /// A way through the figure.
    KeyTime: "from one step to the next", "跨越时刻";
    /// A way through the figure.
    KeyCarousel: "carried on entry by entry", "逐元素传送";
    /// The heading of the numbers of a run.
    Run: "On one run", "一次运行中的实际数值";
    /// Under the curves.
    CurvesCaption: "The same from the last step back, on a logarithmic scale.", "从最后一个时刻向前看，纵轴为对数刻度。";
    /// A run whose data were given.
    GivenRun: "the given run", "给定的一次运行";
    /// A run whose data were drawn.
    RandomRun: "a random run", "一次随机运行";
    /// What the numbers of a run are.
    RunIntro: "Norms on {run} of {steps} steps, from the last step back, beside what bounds them.",
        "{run}（共 {steps} 步）中，从最后一个时刻向前的各个范数，旁边是它们的上界。";
    /// What the numbers of a run are, of the chain that runs backwards.
    RunIntroBack: "Norms on {run} of {steps} steps of what is carried backwards, from the first step on, beside what bounds them.",
        "{run}（共 {steps} 步）中，反方向传递的状态从第一个时刻向后的各个范数，旁边是它们的上界。";
    /// A run on which the bound says something.
    RatioSmall: "Here `{q} = {value} < 1`: whatever is distant is sure to vanish.",
        "这里 `{q} = {value} < 1`：远处的部分必然消失。";
    /// A run on which the bound says nothing.
    RatioLarge: "Here `{q} = {value} ≥ 1`: the bound says nothing about distant steps; only the actual norms do.",
        "这里 `{q} = {value} ≥ 1`：这个上界对远处的时刻什么也没有说明，只有真实的范数能说明问题。";
    /// The exponent of a run.
    Exponent: "The finite-time Lyapunov exponent, the mean logarithm of the stretching of a step over the whole run, is {value}.",
        "有限时间李雅普诺夫指数，即整段运行中每步伸缩的平均对数，为 {value}。";
    /// Before the proof of a rule by its entries.
    EntryByEntry: "entry by entry:", "逐元素地看：";
    /// A badge.
    ByDefinition: "definition", "定义";
    /// A badge.
    General: "general", "一般式";
    /// Before the lines of this recurrence that a general line speaks of.
    Instances: "in this recurrence: {lines}", "本例：{lines}";
    /// The switch of levels.
    LevelSheet: "results", "结果";
    /// The switch of levels.
    LevelNormal: "derivation", "推导";
    /// The switch of levels.
    LevelFull: "every step", "逐步";
    /// The heading of the heat map.
    Heat: "How far a state reaches",
        "状态影响多远";
    /// Under the heat map.
    HeatCaption: "The norm of the Jacobian from step `k` to step `t` (left) and the product of norms that bounds it (right). Blue shrinks, red grows.",
        "从时刻 `k` 到时刻 `t` 的雅可比矩阵的范数（左），以及作为其上界的范数之积（右）。蓝色为缩小，红色为放大。";
    /// The heading of the heat map of a carousel.
    Carried: "What the carousel cures, and what it does not",
        "传送带解决了什么，没有解决什么";
    /// Under the heat map of a carousel.
    CarriedCaption: "The whole Jacobian from step `k` to step `t` (left), and what its direct path alone keeps, the product of the gates in between (right), in the same shades. Faint is what is kept. With gates below one the direct path is never red, and with gates near one it stays faint: that is what the carousel cures. The left has all the other paths as well, through the gates and the other states: where it is red, the gradient grows along them, and the carousel does not prevent that.",
        "从时刻 `k` 到时刻 `t` 的整个雅可比矩阵（左），以及其中仅沿直接路径保留的部分，即其间各个门的乘积（右），两图用同一色标。颜色淡表示被保留。门小于 1 时，直接路径上绝不会出现红色；门接近 1 时，颜色一直很淡：这就是传送带所解决的。左图还包含经过各个门和其他状态的所有路径：其中的红色处，梯度沿这些路径增长，传送带并不能阻止。";
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
            Self::Costate => Word::Costate,
            Self::Stacked => Word::Stacked,
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
            Self::Costate => (Word::CostateIntro, None),
            Self::Stacked => (Word::StackedIntro, None),
            Self::Truncation => (Word::TruncationIntro, None),
            Self::Bounds => (Word::BoundsIntro, Some(Word::BoundsWords)),
        }
    }
}

impl Level {
    /// Every level, from the least.
    pub const ALL: &'static [Self] = &[Self::Sheet, Self::Normal, Self::Full];

    /// What a reader is offered.
    pub(crate) const fn word(self) -> Word {
        match self {
            Self::Sheet => Word::LevelSheet,
            Self::Normal => Word::LevelNormal,
            Self::Full => Word::LevelFull,
        }
    }

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
