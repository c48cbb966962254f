//! The macro that makes the table of pointwise ops out of its rows.
//!
//! It is used once, in [`super::pointwise`], whose names its text uses.

macro_rules! method {
    (operator $variant:ident $name:ident [] ($($x:ident),+) $($doc:literal)+) => {};
    (function $variant:ident $name:ident [] ($x:ident) $($doc:literal)+) => {
        impl Expr<'_> {
            $(#[doc = $doc])+
            #[must_use]
            #[track_caller]
            pub fn $name(self) -> Self {
                self.pointwise1(Pointwise::$variant)
            }
        }
    };
    (function $variant:ident $name:ident [] ($x:ident, $z:ident) $($doc:literal)+) => {
        impl Expr<'_> {
            $(#[doc = $doc])+
            #[must_use]
            #[track_caller]
            pub fn $name(self, other: Self) -> Self {
                self.pointwise2(Pointwise::$variant, other)
            }
        }
    };
    (function $variant:ident $name:ident [$setting:ident: $ty:ty] ($x:ident) $($doc:literal)+) => {
        impl Expr<'_> {
            $(#[doc = $doc])+
            #[must_use]
            #[track_caller]
            pub fn $name(self, $setting: $ty) -> Self {
                self.pointwise1(Pointwise::$variant($setting))
            }
        }
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

/// The kind and the message of a setting.
macro_rules! setting {
    (n) => {
        (Takes::Exponent, EXPONENT)
    };
    (order) => {
        (Takes::Order, ORDER)
    };
}

/// Gives a visitor the function of one entry: an expression in numbers or vector registers, or a function of
/// numbers; all rows of the second form share their code.
macro_rules! entry {
    ($visitor:ident [$($x:ident),+] [$($setting:ident: $ty:ty)?] eval $eval:expr) => {{
        #[derive(Clone, Copy)]
        struct Row { $($setting: $ty)? }
        impl Entry for Row {
            const ARITY: usize = [$(stringify!($x)),+].len();
            #[inline(always)]
            fn call<N: Number>(self, args: [N; 2]) -> N {
                $(let $setting = self.$setting;)?
                let [$($x,)+ ..] = args;
                $eval
            }
        }
        $visitor.visit(Row { $($setting)? })
    }};
    ($visitor:ident [$($x:ident),+] [$($setting:ident: $ty:ty)?] numbers $function:expr) => {{
        let settings: &[i32] = &[$($setting)?];
        let setting = settings.first().copied().map(f64::from);
        let function: fn([f64; 2]) -> f64 = $function;
        $visitor.visit(OfNumbers::<{ [$(stringify!($x)),+].len() }> { function, setting })
    }};
}

macro_rules! pointwise {
    ($(
        $(#[doc = $doc:literal])+
        $style:ident $variant:ident = $name:ident $([$setting:ident : $ty:ty = $example:expr])?
        ($($x:ident),+) -> $y:ident {
            $how:ident: $eval:expr,
            partials: [$($partial:expr),+],
            form: $form:expr,
            kink: $kink:expr,
            $(poles: $poles:expr, safe: $safe:literal,)?
            $(range: $values:expr,)?
            $(slope: $slope:expr,)?
            sample: [$($range:expr),+],
            notation: $notation:expr,
        }
    )+) => {
        /// The pointwise ops.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Pointwise {
            $($(#[doc = $doc])+ $variant $(($ty))?,)+
        }

        #[allow(unused_variables, reason = "a row need not mention every argument or setting")]
        impl Pointwise {
            /// All rows of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant $(($example))?),+];

            pub(super) const CALLS: &'static [Call] = &[$(Call::new(
                stringify!($name),
                concat!($($doc, "\n"),+),
                [$(stringify!($x)),+].len(),
                &[$(setting!($setting).0)?],
                |given| {
                    $(let $setting = given.exponent;)?
                    ok(Self::$variant $(($setting))?)
                },
            ).form(first(&[$(setting!($setting).1)?]))),+];

            /// The name of the function.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant $(($setting))? => stringify!($name),)+ }
            }

            /// The number of arguments.
            #[must_use]
            pub const fn arity(self) -> usize {
                match self { $(Self::$variant $(($setting))? => [$(stringify!($x)),+].len(),)+ }
            }

            /// Calls `visitor` with the function of one entry.
            #[inline(always)]
            pub(crate) fn visit<V: EntryVisitor>(self, visitor: V) -> V::Output {
                match self {
                    $(Self::$variant $(($setting))? => {
                        entry!(visitor [$($x),+] [$($setting: $ty)?] $how $eval)
                    })+
                }
            }

            /// The partial derivative with respect to argument `i`.
            pub(crate) fn partial<'b>(self, i: usize, args: &[Expr<'b>], y: Expr<'b>) -> Partial<'b> {
                match self {
                    $(Self::$variant $(($setting))? => {
                        let &[$($x),+] = args else { unreachable!("arity is checked on insertion") };
                        let $y = y;
                        let partials: [&dyn Fn() -> Partial<'b>; [$(stringify!($x)),+].len()] =
                            [$(&|| Partial::from($partial)),+];
                        partials[i]()
                    })+
                }
            }

            /// Returns true if the partial derivative with respect to argument `i` is zero
            /// everywhere.
            pub(super) fn is_constant_in(self, i: usize) -> bool {
                match self {
                    $(Self::$variant $(($setting))? => [$(stringify!($partial)),+][i] == "Zero",)+
                }
            }

            /// A number that changes sign at the points where the derivative jumps; `None` if there
            /// are none.
            pub(crate) fn kink<F: Scalar>(self, args: &[F]) -> Option<F> {
                match self {
                    $(Self::$variant $(($setting))? => {
                        let &[$($x),+] = args else { unreachable!("arity is checked on insertion") };
                        $kink
                    })+
                }
            }

            /// Finite arguments at which the value or a partial derivative is not finite, at least
            /// one of each kind; empty if there are none. Overflow of sums and products does not
            /// count.
            #[must_use]
            pub const fn poles(self) -> &'static [&'static [f64]] {
                match self {
                    $(Self::$variant $(($setting))? => {
                        let poles: &'static [&'static [f64]] = &[];
                        $(let poles: &'static [&'static [f64]] = $poles;)?
                        poles
                    })+
                }
            }

            /// The op with a safe argument, if it has [poles](Self::poles).
            #[must_use]
            pub const fn safe_form(self) -> Option<&'static str> {
                match self { $(Self::$variant $(($setting))? => optional!($($safe)?),)+ }
            }

            /// The closed interval of the values, if it is bounded; its ends may be rounded outwards, so that a derivation
            /// can print them.
            #[must_use]
            pub const fn range(self) -> Option<(f64, f64)> {
                match self { $(Self::$variant $(($setting))? => optional!($($values)?),)+ }
            }

            /// The closed interval of the derivative of an op of one argument, if it is bounded.
            #[must_use]
            pub const fn slope(self) -> Option<(f64, f64)> {
                match self { $(Self::$variant $(($setting))? => optional!($($slope)?),)+ }
            }

            /// A range inside the domain for each argument, for tests.
            #[must_use]
            pub const fn sample(self) -> &'static [(f64, f64)] {
                match self { $(Self::$variant $(($setting))? => &[$($range),+],)+ }
            }

            /// The notation of the op.
            #[must_use]
            pub fn notation(self) -> Notation {
                match self { $(Self::$variant $(($setting))? => $notation,)+ }
            }

            /// The spelling of the op in the recurrence language.
            pub(super) fn spelling(self) -> Spelling {
                match self {
                    // `x^2` is the row `square`, whose derivative has another form.
                    Self::Powi(2) => Spelling::call("powi", vec![Setting::Size(Dim::fixed(2))]),
                    // On paper, it is written as a product.
                    Self::StrongMul => Spelling::call(self.name(), Vec::new()),
                    _ => self.notation().into(),
                }
            }

            pub(crate) const fn form(self) -> Form {
                match self { $(Self::$variant $(($setting))? => $form,)+ }
            }
        }

        $(method!($style $variant $name [$($setting: $ty)?] ($($x),+) $($doc)+);)+
    };
}

pub(super) use {entry, method, optional, pointwise, setting};
