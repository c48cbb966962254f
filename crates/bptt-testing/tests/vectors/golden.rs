//! The bits of test vectors are those of a committed file, on every machine.

use std::fmt::Write;

use bptt::Recurrence;
use bptt::data::Array;
use bptt_testing::vectors::{Layout, Vectors};
use bptt_testing::{Cases, Precision};

use crate::library;

/// Functions whose last bits differ between the mathematical libraries of systems, and products of matrices, which
/// differ between processors.
const FUNCTIONS: &str = "
dim N
input x[N]
param A[N, N], p
state s[N]
u = tanh(A @ s + x)
s' = 0.5 * u + 0.1 * sin(3 * u) * cos(x) + 0.1 * exp(u)^1.7 + 0.1 * softplus(x)
v = sum(expm1(u) + log1p(u * u) + erf(u) + erfc(x) + lgamma(2 + u) + digamma(2 + u) + atan(x) + asin(0.5 * u))
w = sum(acos(0.5 * u) + sinh(u) + cosh(u) + asinh(x) + atan2(u, 2 + x) + exp(x * p) + ln(1 + exp(u)) + polygamma(2 + u, 2))
loss v + w + logdet(A.T @ A + eye(N)) + dot(softmax(u), x) + logsumexp(x * u) + sum(u^3) + norm(s')
";

/// FNV-1a, of 64 bits.
fn hash(array: &Array) -> u64 {
    let mut bytes: Vec<u8> = array
        .shape()
        .iter()
        .flat_map(|n| (*n as u64).to_le_bytes())
        .collect();
    match array {
        Array::F32(a) => bytes.extend(a.iter().flat_map(|x| x.to_le_bytes())),
        // The sign of NaN has no meaning.
        Array::F64(a) => bytes.extend(a.iter().flat_map(|x| match x.is_nan() {
            true => f64::NAN.to_le_bytes(),
            false => x.to_le_bytes(),
        })),
        Array::Int(a) => bytes.extend(a.iter().flat_map(|x| x.to_le_bytes())),
        Array::Bool(a) => bytes.extend(a.iter().map(|x| u8::from(*x))),
    }
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[test]
fn the_bits_are_those_of_the_committed_file() {
    let functions = Recurrence::parse("functions.rec", FUNCTIONS).unwrap();
    let mut text = String::new();
    for (recurrence, precision) in [
        (library("rnn"), Precision::F64),
        (library("lstm"), Precision::F64),
        (library("gru_reset_after"), Precision::F32),
        (functions, Precision::F64),
    ] {
        let cases = Cases::new(&recurrence).precision(precision);
        let vectors = Vectors::draw(&cases, 1, 1, Layout::Bptt).unwrap();
        for (path, array) in vectors.iter().next().unwrap().arrays() {
            let hash = hash(array);
            writeln!(text, "{hash:016x} {} {precision} {path}", recurrence.name()).unwrap();
        }
    }
    let committed = include_str!("golden.txt");
    let differ = text.lines().zip(committed.lines()).filter(|(a, b)| a != b);
    let differ: Vec<&str> = differ.map(|(a, _)| a).collect();
    if text != committed {
        let fresh = std::env::temp_dir().join("bptt-golden.txt");
        std::fs::write(&fresh, &text).unwrap();
        panic!(
            "{} of {} arrays have other bits; the fresh file is {}\n{}",
            differ.len(),
            text.lines().count(),
            fresh.display(),
            differ.join("\n")
        );
    }
}
