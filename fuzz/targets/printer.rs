//! The printer: a derivative of any recurrence is either refused with a reason, or printed as a text that
//! parses to an equal recurrence.

#![no_main]

use bptt::{Recurrence, Wrt};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(recurrence) = Recurrence::parse("fuzz.rec", text) else {
        return;
    };
    for derivative in [
        recurrence.gradient(Wrt::Parameters),
        recurrence.gradient(Wrt::Everything),
        recurrence.tangent(Wrt::Parameters),
        recurrence.hessian_vector(Wrt::Parameters),
        recurrence.with_resets("resets"),
        recurrence.with_mask("mask"),
    ] {
        let Ok(derivative) = derivative else { continue };
        let Ok(source) = derivative.source() else { continue };
        let again = match Recurrence::parse("again.rec", &source) {
            Ok(again) => again,
            Err(error) => panic!("{source}\ndoes not read back: {error}"),
        };
        let second = again.source().expect("what was read can be printed");
        assert_eq!(source, second, "printing is not a fixed point");
    }
});
