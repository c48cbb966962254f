//! Every sentence of a derivation, in English and in Chinese.
//!
//! Formulas in sentences are between backquotes. Both languages must contain the same formulas; a test
//! compares them.

use super::part::{Level, Part};
pub use crate::language::Lang;

macro_rules! words {
    ($($(#[doc = $doc:literal])+ $word:ident: $en:literal, $zh:literal;)+) => {
        /// A sentence or a word; each `{…}` is a placeholder for a value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Word {
            $($(#[doc = $doc])+ $word,)+
        }

        impl Word {
            /// All words.
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
    Title: "Derivation of the {name} gradient", "{name} 的梯度推导";
    /// The first sentence of a document.
    Lead: "Every formula below is derived automatically from the graph that computes the gradient. The note at its end says how its two sides were compared on random data, if they were.",
        "下面的公式由计算梯度的图自动推出；每式末尾的标记说明它是否用随机数据核对过、结果如何。";
    /// The heading of the conventions.
    Conventions: "Conventions", "约定";
    /// The convention on vectors.
    ConventionVectors: "Vectors are columns; `⊙` is the entrywise product; `𝟏` has all entries 1; `⟨A, B⟩` is the sum of the products of corresponding entries.",
        "向量一律为列向量；`⊙` 表示逐元素相乘；`𝟏` 的元素全为 1；`⟨A, B⟩` 是对应元素乘积之和。";
    /// The convention on the layout of derivatives.
    ConventionLayout: "`∂{L}/∂X` has the shape of `X`. The Jacobian `∂y/∂x` has one row per entry of `y`, so that `dy = (∂y/∂x) dx`.",
        "`∂{L}/∂X` 与 `X` 形状相同。雅可比矩阵 `∂y/∂x` 的每一行对应 `y` 的一个元素，因此 `dy = (∂y/∂x) dx`。";
    /// The convention on error terms.
    ConventionDelta: "`{d}ᵛₜ` is the total derivative of the loss with respect to `v` at step `t`: add `ε` to the value of `v` at step `t`, recompute everything that depends on it, and take the gradient with respect to `ε` at zero.",
        "`{d}ᵛₜ` 是损失对 `t` 时刻 `v` 的全导数：给 `t` 时刻 `v` 的值加上 `ε`，其后各量随之重新计算，再求损失对 `ε` 在零点处的梯度。";
    /// The convention on data that is not differentiated.
    ConventionData: "Data that is not differentiated is constant, so that its differential is zero: {data}.",
        "不求导的数据视为常数，其微分为零：{data}。";
    /// The convention on products of Jacobians.
    ConventionProduct: "In a product of Jacobians, later steps are on the left; an empty product is the identity.",
        "雅可比矩阵连乘时，时刻较晚的因子写在左边；空积为单位矩阵。";
    /// The notation of parts of vectors and matrices.
    ConventionParts: "`x_{a:b}` denotes the entries `a` to `b` of `x`, counted from 1; `W_{a:b,:}` denotes rows of `W`, `W_{:,a:b}` columns; `𝐈_{n}` is the identity matrix of size `n`.",
        "`x_{a:b}` 是 `x` 的第 `a` 至第 `b` 个元素（从 1 数起）；`W_{a:b,:}` 是 `W` 的第 `a` 至第 `b` 行，`W_{:,a:b}` 是第 `a` 至第 `b` 列；`𝐈_{n}` 是 `n` 阶单位矩阵。";
    /// The notation of one-hot vectors.
    ConventionUnit: "`𝐞_{c}` is the one-hot vector of the class `c`: 1 in the entry of that class, 0 elsewhere.",
        "`𝐞_{c}` 是类别 `c` 的独热向量：该类别处为 1，其余为 0。";
    /// The notation of diagonal matrices.
    ConventionDiagonal: "`diag(v)` is the diagonal matrix with the entries of `v`.",
        "`diag(v)` 是以 `v` 的元素为对角元的对角矩阵。";
    /// The convention on steps beyond the last and on conditions.
    ConventionBoundary: "Beyond the last step, `{d} = 0`. `[t < {T}]` is 1 if the condition holds, else 0.",
        "最后一个时刻之后 `{d} = 0`。`[t < {T}]` 在条件成立时为 1，否则为 0。";
    /// The convention on batches.
    ConventionBatch: "The formulas are for one sequence; for a batch, the gradients of parameters are summed over its sequences.",
        "各式针对单个序列；对一个批次，参数的梯度再对其中各序列求和。";
    /// The notes beside a line.
    ConventionNotes: "The notes beside a line are its label, the steps for which it holds, its shape, the rules that lead to it, and the result of its check: in how many places both sides were evaluated, and their largest relative difference. The rules are listed at the end.",
        "每式后面依次注明编号、适用的时刻、形状、所用的规则和核对结果（共核对多少处，两边的最大相对误差）。各条规则见文末。";
    /// The definition of the blocks of the Jacobian.
    ConventionState: "A block of `{J}ₜ` is the derivative of one state at step `t` with respect to one state at the previous step, with all other states of the previous step held fixed.",
        "`{J}ₜ` 的一个分块，是 `t` 时刻某个状态对前一时刻某个状态的导数，求导时前一时刻的其余状态固定不变。";
    /// The notation of states that are carried backwards.
    ConventionBack: "States that are carried from the end of the sequence to its beginning have a tilde: the state is `{s}̃ₜ`, and `{J}̃ₜ` is the Jacobian of `{s}̃ₜ` with respect to `{s}̃ₜ₊₁`. In its products, written `∏` over `t ≤ j ≤ k − 1`, earlier steps are on the left; its error terms propagate forwards in time.",
        "从序列末尾向开头传递的状态带波浪号，记作 `{s}̃ₜ`；`{J}̃ₜ` 是 `{s}̃ₜ` 对 `{s}̃ₜ₊₁` 的雅可比矩阵。它的连乘 `∏` 取遍 `t ≤ j ≤ k − 1`，时刻较早的因子写在左边；它的误差项沿时间正向传播。";
    /// The notation of delayed values.
    ConventionDelays: "The state `{s}ₜ` stacks all carried values, each with its delays: `[hₜ; hₜ₋₁; …]`. `∂⁺xₜ/∂yₖ` is the derivative with all other values from other steps held fixed; the other rows of `{J}ₜ` only shift values from one delay to the next.",
        "状态 `{s}ₜ` 由所有跨时刻传递的量连同各个滞后堆叠而成：`[hₜ; hₜ₋₁; …]`。`∂⁺xₜ/∂yₖ` 是来自其他时刻的其余各量都固定不变时的导数；`{J}ₜ` 的其余各行只是把各滞后项顺移一步。";
    /// The note on recurrences with many states or values.
    Large: "This recurrence has so many states or values that the parts on the whole state are omitted: its Jacobian, double sums, truncation and bounds.",
        "这个递推的状态或变量太多，因此省去有关整个状态的部分：雅可比矩阵、二重求和、截断和上界。";
    /// The note on functions with kinks.
    Kinks: "Some functions here are not differentiable at isolated points; the formulas hold almost everywhere.",
        "其中有些函数在个别点不可导；各式几乎处处成立。";
    /// Heading.
    Definition: "Definition", "定义";
    /// Heading.
    Theorem: "The general theorem", "一般定理";
    /// Heading.
    Differentials: "One step, linearised", "单步的微分";
    /// Heading.
    Adjoints: "The adjoint of each equation", "把误差逐项传回（伴随）";
    /// Heading.
    Recursion: "The error terms δ", "误差项 δ 的递推";
    /// Heading.
    Parameters: "Gradients of the parameters: sums over time", "参数的梯度：对时间求和";
    /// Heading.
    Inputs: "Gradients of inputs and initial values", "输入与初始值的梯度";
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
    /// The introduction to the definition.
    DefinitionIntro: "One step of the recurrence, the initial values and the loss.",
        "单步递推式、初始值与损失函数。";
    /// The introduction to the general theorem.
    TheoremIntro: "`{s}ₜ` stacks all states and `{p}` all parameters. `{J}ₜ` and `{G}ₜ` are the derivatives of one step with respect to `{s}ₜ₋₁` and to `{p}`. `{e}ₜ` is the derivative of the loss with respect to `{s}ₜ`, all other states and `{p}` held fixed, and `∂⁺{L}/∂{p}` that with respect to `{p}`, all states held fixed. The lines hold for any recurrence and are not evaluated numerically; the line after them is the theorem for this recurrence, and is evaluated.",
        "全部状态堆叠为 `{s}ₜ`，全部参数堆叠为 `{p}`。`{J}ₜ` 与 `{G}ₜ` 是单步对 `{s}ₜ₋₁` 与对 `{p}` 的导数；`{e}ₜ` 是其余时刻的状态和 `{p}` 都固定时损失对 `{s}ₜ` 的导数，`∂⁺{L}/∂{p}` 是全部状态固定时损失对 `{p}` 的导数。这几行对任意递推成立，不做数值核对；紧接着的一行是定理在本例中的具体形式，已核对。";
    /// The introduction to the differentials.
    DifferentialsIntro: "The differential of each equation of the definition, by the product rules and the chain rule.",
        "用乘积法则和链式法则，对定义中的每个等式求微分。";
    /// The introduction to the adjoints.
    AdjointsIntro: "Insert each differential into the inner product with the error term `{d}` and move every factor to the left; the coefficient of each term can then be read. No Jacobian is formed, and no third-order tensor. The next part derives the error terms themselves.",
        "把每个微分代入与误差项 `{d}` 的内积，再把各因子移到左边，便可读出每一项前的系数；不必写出雅可比矩阵，更不会出现三阶张量。误差项本身的公式在下一部分推出。";
    /// The introduction to the error terms.
    RecursionIntro: "The error term of a value is the sum of the contributions of all values that use it.",
        "一个量的误差项，等于所有用到它的量传回的各项之和。";
    /// The order of error terms that come from later steps.
    RecursionLater: "A use at the next step contributes from that step, so these error terms are computed backwards in time, from the last step on.",
        "若下一时刻用到它，误差就从下一时刻传回，所以这些误差项沿时间反向计算，从最后一个时刻开始。";
    /// The order of error terms that come from earlier steps.
    RecursionEarlier: "A use at the previous step contributes from that step, so these error terms are computed forwards in time, from the first step on.",
        "若前一时刻用到它，误差就从前一时刻传来，所以这些误差项沿时间正向计算，从第一个时刻开始。";
    /// The introduction to the gradients of parameters.
    ParametersIntro: "A parameter is shared by all steps: give each step its own copy, then set the copies equal; the total gradient is the sum of the gradients of the copies.",
        "参数为各时刻共享：先设想每一步各有一份副本，再令它们相等，总梯度就是各步梯度之和。";
    /// The introduction to the gradients of inputs.
    InputsIntro: "The gradient of an input sums over the values that use it.",
        "输入的梯度是对所有用到它的量求和。";
    /// The note on gradients of initial values.
    StartsIntro: "An initial value is used only where its state begins.",
        "初始值只在状态开始的地方用到。";
    /// The introduction to the Jacobian.
    JacobianIntro: "The derivative of the state with respect to the previous state; the product of these Jacobians is the derivative with respect to any earlier state.",
        "状态对前一时刻状态的导数；把各步的雅可比矩阵连乘，就得到对更早状态的导数。";
    /// The immediate differential.
    JacobianImmediate: "`d⁺vₜ` is the differential of the state `vₜ` with the states of all other steps held fixed.",
        "`d⁺vₜ` 是状态 `vₜ` 在其他时刻的状态都固定不变时的微分。";
    /// The derivative of a state with respect to a parameter.
    JacobianMap: "`∂vₜ/∂W` has one column per entry of `W`, in the order of the columns of `W`, and `∂⁺vₜ/∂W` is the same with the states of all other steps held fixed.",
        "`∂vₜ/∂W` 的每一列对应 `W` 的一个元素，按 `W` 的各列依次排列；`∂⁺vₜ/∂W` 与之相同，但其他时刻的状态固定不变。";
    /// The Kronecker product.
    JacobianKronecker: "`A ⊗ B` is the Kronecker product: the matrix of the blocks `Aᵢⱼ B`.",
        "`A ⊗ B` 是克罗内克积，即以 `Aᵢⱼ B` 为分块的矩阵。";
    /// The three meanings of the derivative of a state by the previous one.
    JacobianCaution: "With several states, `∂vₜ/∂vₜ₋₁` has three meanings: a block of `{J}ₜ`, with the other states held fixed; the one-step derivative in which the other states vary as well; and, over many steps, the product of the whole Jacobians, which is not the product of the one-step derivatives of one state.",
        "有多个状态时，`∂vₜ/∂vₜ₋₁` 有三种含义：一是 `{J}ₜ` 的一个分块，其余状态固定不变；二是其余状态也随之变化时的单步导数；三是跨多步时整个雅可比矩阵的连乘，它并不等于单个状态的单步导数的连乘。";
    /// The introduction to the carousel.
    CarouselIntro: "This state is updated only by entrywise scaling and addition. The same products of gates weight the memory in the forward pass and the error in the backward pass. `⨀` is the entrywise product over a range of steps.",
        "该状态每步只做逐元素缩放，再加上新内容。前向保留的记忆与反向传回的误差，乘的是同一串门。`⨀` 是对一段时刻的逐元素连乘。";
    /// The limits of a carousel whose gates are bounded by one.
    CarouselBounded: "No entry of the gates of {kept} exceeds 1 in absolute value, so this path never explodes. Near 1 it hardly vanishes: at a constant gate `f`, half of the error is left after `ln ½ / ln f` steps.",
        "{kept} 的门，各元素的绝对值都不超过 1，因此这条路径不会爆炸；门接近 1 时，也几乎不会消失：门恒为 `f` 时，误差每经过 `ln ½ / ln f` 步减半。";
    /// Half-lives at a gate that is a sigmoid.
    CarouselSigmoid: "For a gate `f = σ(b)` these are 1.0, 2.2, 5.5, 14.3 and 103 steps at `b` = 0, 1, 2, 3 and 5.",
        "当 `f = σ(b)`，`b` 取 0、1、2、3、5 时，分别为 1.0、2.2、5.5、14.3、103 步。";
    /// The limits of a carousel whose gates have no bound.
    CarouselFree: "The definitions of the gates of {free} do not keep them within 1, so this path can explode as well as vanish.",
        "{free} 的门，其定义并不保证绝对值不超过 1，因此这条路径既可能消失，也可能爆炸。";
    /// The other paths.
    CarouselPaths: "It is one path of many: the paths through other values can vanish or explode on their own.",
        "但它只是众多路径之一：经过其他量的路径仍可能消失或爆炸。";
    /// The error along the carousel alone.
    CarouselSplit: "Where `{d}` is split into two sums, the first is the error along this path alone, and the second is exactly the rest. The LSTM was introduced in 1997 with a gradient that keeps the first sum only.",
        "`{d}` 拆成两个和时，第一个和只含沿这条路径传回的误差，第二个和正是其余部分。1997 年提出 LSTM 时，所用的梯度只保留第一个和。";
    /// The introduction to the double sum.
    BridgeIntro: "Expanding the chain rule forwards gives a sum over all pairs of steps. Swapping the order of summation and factoring out gives the recursion: `{T}` terms instead of `{T}²`.",
        "把链式法则向前展开，得到对所有时刻对的求和。交换求和次序并提取公因子，就得到递推：项数由 `{T}²` 降为 `{T}`。";
    /// The introduction to the costate.
    CostateIntro: "`{d}` of a state includes the error sent back by the other states of the same step. `{l}` excludes it: `{l}` is the gradient with respect to a perturbation of this state that no other state of the step sees. The literature writes `∂{L}/∂vₜ` for both, but they differ; at `t = 0` they are equal, since no other state is computed from an initial state within its own step.",
        "一个状态的 `{d}` 还包含同一时刻其他状态传回的误差；`{l}` 则不含这一部分：只扰动该状态、同一时刻的其他状态不受影响时，所得的梯度就是 `{l}`。文献中两者都写作 `∂{L}/∂vₜ`，其实并不相同；在 `t = 0` 时两者相等，因为同一时刻没有别的状态由初始状态算出。";
    /// The introduction to the stacked form.
    StackedIntro: "Values computed by the same formula are combined into one, with their matrices stacked. The blocks are in the order of the definition; libraries use different orders.",
        "算法相同的几个量可以合并为一个，它们的矩阵上下堆叠。分块按定义中的次序排列；各种库的次序不尽相同。";
    /// The introduction to windows.
    WindowIntro: "A window lets each loss look back `τ` steps. It costs of the order of `{T} τ` terms.",
        "滑动窗口截断让每个损失只回看 `τ` 步，约需计算 `{T} τ` 项。";
    /// The introduction to chunks.
    ChunksIntro: "Most frameworks cut the sequence into chunks of `τ` steps and send no error across a cut; `{d}̂` is the error term computed in this way, at a cost of the order of `{T}` terms. There `[τ ∤ t]` is 0 at the end of a chunk and 1 elsewhere, and `e(k) = min({T}, τ⌈k/τ⌉)` is the last step of the chunk that contains `k`.",
        "多数框架采用分段截断：把序列切成每段 `τ` 步，误差不跨段传回；这样算出的误差项记作 `{d}̂`，约需计算 `{T}` 项。这里 `[τ ∤ t]` 在每段末尾为 0，其余为 1；`e(k) = min({T}, τ⌈k/τ⌉)` 是 `k` 所在段的最后一个时刻。";
    /// The rest of a truncated gradient.
    TruncationRest: "The last sum of a gradient is exactly the part left out.",
        "梯度的最后一个和恰好是被截去的部分。";
    /// The introduction to the bounds.
    BoundsIntro: "The norm of a product is at most the product of the norms. The norm of a matrix is its largest singular value; the norm of a vector is its length.",
        "乘积的范数不超过范数的乘积。矩阵的范数取最大奇异值（谱范数），向量的范数取长度。";
    /// The smallest singular value.
    BoundsLeast: "`{S}ₘᵢₙ(A)` is the smallest singular value of `A`.",
        "`{S}ₘᵢₙ(A)` 是 `A` 的最小奇异值。";
    /// The norms with an index.
    BoundsNorms: "The index `F` denotes the Frobenius norm, the root of the sum of all squared entries; the index `∞` denotes the largest absolute value of an entry.",
        "下标 `F` 表示 Frobenius 范数，即全体元素平方和的平方根；下标 `∞` 表示元素绝对值的最大值。";
    /// The introduction to the bounds of a state that is one number.
    BoundsNumberIntro: "The state is one number: the absolute value of a product is the product of the absolute values.",
        "这里的状态只有一个数，乘积的绝对值就等于绝对值的乘积。";
    /// The sufficient and the necessary condition.
    BoundsWords: "Sufficient: if `{q} < 1`, the contributions of distant steps vanish exponentially. This is not necessary: they can vanish with larger `{q}`. Necessary: products can grow exponentially only if `{q} > 1`. This is not sufficient: a matrix of norm 5 can have powers that vanish. These are statements about norms, not eigenvalues: the spectral radius of a product is not bounded by those of the factors, and the factors differ from step to step. Only the contributions of distant steps vanish; the near ones then dominate the gradient of a parameter. A bound is only a bound: compare it with the actual norms beside it.",
        "充分条件：若 `{q} < 1`，较远时刻的贡献必按指数衰减；但这不是必要条件，`{q}` 更大时也可能消失。必要条件：连乘要按指数增长，必须有 `{q} > 1`；但这不是充分条件，范数为 5 的矩阵，其幂也可能趋于零。这里说的是范数，不是特征值：乘积的谱半径不受各因子谱半径的约束，而且各步的因子互不相同。消失的只是较远时刻的贡献，此时参数的梯度由较近的时刻主导。上界只是上界，实际大小请看旁边的范数。";
    /// The conditions for a state that is one number.
    BoundsNumberWords: "Sufficient: if `{q} < 1`, the contributions of distant steps vanish exponentially. This is not necessary: `{q}` bounds the largest of all factors, and the others can be small enough. Necessary: products can grow exponentially only if `{q} > 1`. Only the contributions of distant steps vanish; the near ones then dominate the gradient of a parameter. A bound is only a bound: compare it with the actual values beside it.",
        "充分条件：若 `{q} < 1`，较远时刻的贡献必按指数衰减；但这不是必要条件：`{q}` 是各步因子中最大者的上界，其余因子可能足够小。必要条件：连乘要按指数增长，必须有 `{q} > 1`。消失的只是较远时刻的贡献，此时参数的梯度由较近的时刻主导。上界只是上界，实际大小请看旁边的数值。";
    /// The conditions for a state that is one number, with the same factor at each step.
    BoundsSameNumber: "The factor is the same at every step, so a product over `n` steps is its power: the contributions of distant steps vanish exponentially exactly if its absolute value is below 1, and grow exponentially exactly if it is above 1.",
        "每一步的因子都相同，`n` 步的连乘就是它的 `n` 次幂：绝对值小于 1 时，较远时刻的贡献按指数衰减，而且只在这时如此；大于 1 时按指数增长，而且只在这时如此。";
    /// The conditions for a Jacobian that is the same at each step.
    BoundsSameWords: "The Jacobian is the same at every step, so a product over `n` steps is its power: the contributions of distant steps vanish exponentially exactly if its spectral radius, the largest absolute value of an eigenvalue, is below 1, and grow exponentially exactly if it is above 1. `{q} < 1` is sufficient for the first, since no eigenvalue exceeds the norm; it is not necessary: a matrix of norm 5 can have powers that vanish.",
        "每一步的雅可比矩阵都相同，`n` 步的连乘就是它的 `n` 次幂：谱半径（特征值绝对值的最大者）小于 1 时，较远时刻的贡献按指数衰减，而且只在这时如此；大于 1 时按指数增长，而且只在这时如此。特征值的绝对值不超过范数，所以 `{q} < 1` 足以保证前者，但并非必要：范数为 5 的矩阵，其幂也可能趋于零。";
    /// The bound of a companion matrix.
    BoundsDelays: "The rows of `{J}ₜ` that only shift values from one delay to the next have norm 1, so that `{q} ≥ 1` for all weights: with several lags, `{q}` never shows that anything vanishes. The sum of the norms of the blocks that one step uses can show it: if it is below 1, a perturbation shrinks at least by this factor in as many steps as the longest lag.",
        "`{J}ₜ` 中只把各滞后项顺移的行，范数为 1，因此无论权重取何值都有 `{q} ≥ 1`：有多个滞后时，单凭 `{q}` 永远判断不出梯度消失。可以用来判断的是单步中各分块的范数之和：它小于 1 时，每经过最长滞后那么多步，扰动至少按这个倍数缩小一次。";
    /// A badge.
    Checked: "checked in {places}, within {worst}", "核对 {places} 处，误差不超过 {worst}";
    /// A badge.
    CheckedEqual: "checked in {places}, equal", "核对 {places} 处，完全相等";
    /// A badge.
    Holds: "holds; tightest case: {ratio} of the bound", "成立；最紧时达到上界的 {ratio} 倍";
    /// A badge.
    Failed: "does not hold", "不成立";
    /// A badge.
    Unchecked: "not checked", "未核对";
    /// The reason for an unchecked line: the sides of a comparison are equal up to rounding.
    Tie: "rounding errors decide a comparison in it", "式中有一处比较由舍入误差决定";
    /// The reason for an unchecked line: a size is unknown.
    WithoutSize: "the size of its ones, identity or zero depends on the context",
        "其中全 1 向量、单位矩阵或零的大小要由上下文确定";
    /// The reason for an unchecked line: its condition is never met.
    ConditionNeverMet: "none of the runs meets its condition", "各次运行均不满足它的条件";
    /// The label of the rules of a line.
    By: "by", "依据";
    /// The label of the premises of a line.
    From: "from", "由";
    /// The label of the steps of a line.
    Steps: "derivation steps: {count}", "推导步骤（{count} 步）";
    /// The range of a line.
    For: "for", "对";
    /// The heading of the rules.
    Rules: "Rules", "规则";
    /// The heading of the figures.
    Unrolled: "Three time steps, unrolled", "展开的三个时间步";
    /// The caption of the figure.
    UnrolledCaption: "Solid: the forward pass. Dashed: the error terms, against the arrows, with the number of the formula of each. Click a box to go to its formula.",
        "实线为前向传播。虚线为误差的反向传播，旁边的编号是对应公式。点击方框可跳到它的公式。";
    /// The legend of edges within a step.
    KeyStep: "within a step", "同一时刻内";
    /// The legend of edges between steps.
    KeyTime: "from one step to the next", "跨时刻";
    /// The legend of edges of a carousel.
    KeyCarousel: "entrywise, from one step to the next", "逐元素跨时刻传递";
    /// The heading of the numbers of a run.
    Run: "Norms on one run", "一次运行的实际数值";
    /// The caption of the curves.
    CurvesCaption: "The same norms, from the last step backwards, on a logarithmic scale.",
        "同样的范数，从最后一个时刻往回看，纵轴为对数刻度。";
    /// The name of a run on given data.
    GivenRun: "the given run", "给定的一次运行";
    /// The name of a run from the initial parameters.
    InitialRun: "a run with initial parameters and random inputs,", "一次以初始参数和随机输入进行的运行";
    /// The name of a run on random data.
    RandomRun: "a run with random parameters and inputs,", "一次参数与输入都随机的运行";
    /// The introduction to the numbers of a run.
    RunIntro: "Norms and their bounds on {run} of {steps} steps, from the last step backwards.",
        "{run}（共 {steps} 步）中的各个范数及其上界，从最后一个时刻往回看。";
    /// The introduction to the numbers of a run, for states that are carried backwards.
    RunIntroBack: "Norms and their bounds on {run} of {steps} steps, for the states that are carried backwards, from the first step forwards.",
        "{run}（共 {steps} 步）中，反向传递的状态的各个范数及其上界，从第一个时刻往后看。";
    /// The conclusion for a run with a ratio below 1.
    RatioSmall: "Here `{q} = {value} < 1`: the contributions of distant steps are certain to vanish.",
        "这里 `{q} = {value} < 1`：较远时刻的贡献必然消失。";
    /// The conclusion for a run with a ratio of at least 1.
    RatioLarge: "Here `{q} = {value} ≥ 1`: the bound says nothing about distant steps; only the actual norms do.",
        "这里 `{q} = {value} ≥ 1`：由这个上界判断不出较远时刻的贡献，要看实际的范数。";
    /// The Lyapunov exponent of a run.
    Exponent: "The finite-time Lyapunov exponent, the mean logarithmic growth per step over the whole run, is {value}.",
        "有限时间李雅普诺夫指数（整段运行中每步伸缩倍数的对数的平均值）为 {value}。";
    /// The label of the proof of a rule by entries.
    EntryByEntry: "entry by entry:", "按元素写出：";
    /// A badge.
    ByDefinition: "definition", "定义";
    /// A badge.
    General: "general", "一般式";
    /// The label of the instances of a general line.
    Instances: "in this recurrence: {lines}", "本例：{lines}";
    /// The switch of levels.
    LevelSheet: "results", "结果";
    /// The switch of levels.
    LevelNormal: "derivation", "推导";
    /// The switch of levels.
    LevelFull: "every step", "逐步推导";
    /// The heading of the heat map.
    Heat: "Reach of the state", "状态的影响范围";
    /// The caption of the heat map.
    HeatCaption: "Left: the norm of the Jacobian from step `k` to step `t`. Right: the product of norms that bounds it. Blue is below 1, red is above 1.",
        "左：从时刻 `k` 到时刻 `t` 的雅可比矩阵的范数。右：作为其上界的范数之积。蓝色为小于 1，红色为大于 1。";
    /// The heading of the heat map of a carousel.
    Carried: "The carousel and the whole Jacobian", "传送带与整个雅可比矩阵的对比";
    /// The caption of the heat map of a carousel.
    CarriedCaption: "Left: the whole Jacobian from step `k` to step `t`. Right: its direct path alone, the product of the gates in between. Both have the same colour scale; the closer a colour is to the background, the closer the norm is to 1. With gates below 1 the direct path is never red, and with gates near 1 it stays close to the background: the carousel keeps this path from vanishing. The left side contains all other paths as well, through the gates and the other states: where it is red, the gradient grows along them, and the carousel does not prevent that.",
        "左：从时刻 `k` 到时刻 `t` 的整个雅可比矩阵。右：其中仅沿直接路径保留的部分，即其间各个门的乘积。两图用同一色标；颜色越接近背景，范数越接近 1。门小于 1 时，直接路径上绝不会出现红色；门接近 1 时，颜色始终接近背景：传送带使这条路径不致消失。左图还包含经过各个门和其他状态的所有路径：其中的红色处，梯度沿这些路径增长，传送带并不能阻止。";
    /// The summary of the checks.
    Summary: "{passed} lines checked, {failed} wrong, {unchecked} not checked; largest relative difference {worst}",
        "核对通过 {passed} 式，不成立 {failed} 式，未核对 {unchecked} 式；最大相对误差 {worst}";
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
}

impl Level {
    /// All levels, shortest first.
    pub const ALL: &'static [Self] = &[Self::Sheet, Self::Normal, Self::Full];

    /// The label of the level.
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
