//! Elementary functions of numbers with the same bits on every machine. Those of the standard library are the
//! functions of the system, whose last bits differ.

/// The functions of a floating-point type. They are called by path, as [`Float`](ndarray::NdFloat) has methods of the
/// same names.
pub(crate) trait Elementary: Sized {
    fn exp(x: Self) -> Self;
    fn ln(x: Self) -> Self;
    fn ln_1p(x: Self) -> Self;
    fn powi(x: Self, n: i32) -> Self;
    fn powf(x: Self, p: Self) -> Self;
    fn sin(x: Self) -> Self;
    fn cos(x: Self) -> Self;
    fn tanh(x: Self) -> Self;
}

macro_rules! elementary {
    ($float:ident: $exp:ident $ln:ident $ln_1p:ident $powf:ident $sin:ident $cos:ident $tanh:ident) => {
        impl Elementary for $float {
            fn exp(x: Self) -> Self {
                libm::$exp(x)
            }
            fn ln(x: Self) -> Self {
                libm::$ln(x)
            }
            fn ln_1p(x: Self) -> Self {
                libm::$ln_1p(x)
            }
            fn powi(x: Self, n: i32) -> Self {
                let (mut power, mut square, mut left) = (1.0, x, n.unsigned_abs());
                loop {
                    if left & 1 == 1 {
                        power *= square;
                    }
                    left >>= 1;
                    if left == 0 {
                        return if n < 0 { 1.0 / power } else { power };
                    }
                    square *= square;
                }
            }
            fn powf(x: Self, p: Self) -> Self {
                libm::$powf(x, p)
            }
            fn sin(x: Self) -> Self {
                libm::$sin(x)
            }
            fn cos(x: Self) -> Self {
                libm::$cos(x)
            }
            fn tanh(x: Self) -> Self {
                libm::$tanh(x)
            }
        }
    };
}

elementary!(f64: exp log log1p pow sin cos tanh);
elementary!(f32: expf logf log1pf powf sinf cosf tanhf);
