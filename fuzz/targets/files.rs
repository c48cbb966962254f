//! Reads a file of some format; shared by the targets of the data formats.

use std::path::PathBuf;
use std::{env, fs, process};

use bptt::Recurrence;
use bptt::data::{Arrays, Import, Imported, Missing, ReadOptions};

/// A recurrence with inputs, a class and parameters, so that every conversion is tried.
const READER: &str = "
    dim H, K, O
    input x[K], y: class(O)
    sample input h0[H]
    param W[H, K], U[H, H], V[O, H], b[H], s
    state h[H] = h0
    h' = tanh(W @ x + U @ h + s * b)
    loss softmax_cross_entropy(V @ h', y)
";

/// Reads bytes as a file with this extension. Arrays that can be read are converted, written, and read again,
/// with an equal result.
///
/// # Panics
/// When arrays change by writing and reading.
pub fn read(extension: &str, bytes: &[u8]) {
    let path = scratch("in", extension);
    if fs::write(&path, bytes).is_err() {
        return;
    }
    let reader = Recurrence::parse("reader.rec", READER).expect("it is well formed");
    for missing in [Missing::Refuse, Missing::DropRow, Missing::Split, Missing::Mask] {
        let options = ReadOptions::new().missing(missing);
        let sorted = options.clone().id("id").sort("t").decimal(',').thousands('.');
        for options in [options, sorted] {
            let text = match options.read(&reader, &path) {
                Ok(arrays) => arrays.batch::<f64>(&reader).err().map_or(String::new(), |error| error.to_string()),
                Err(error) => error.to_string(),
            };
            assert!(text.len() < 20_000, "an error of {} characters", text.len());
        }
    }
    let arrays = match Arrays::read(&path) {
        Ok(arrays) => arrays,
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 20_000, "an error of {} characters", text.len());
            return;
        }
    };
    for text in [
        arrays.params::<f64>(&reader).err(),
        arrays.batch::<f64>(&reader).err(),
        arrays.pytorch_params::<f64>(&reader).err(),
    ] {
        let text = text.map_or(String::new(), |error| error.to_string());
        assert!(text.len() < 20_000, "an error of {} characters", text.len());
    }
    let again = scratch("out", "npz");
    if arrays.write(&again).is_ok() {
        let read = Arrays::read(&again).expect("a file that was written can be read");
        // Arrays that cannot be read are not written.
        let text = |arrays: &Arrays| format!("{:?}", arrays.iter().collect::<Vec<_>>());
        assert_eq!(text(&arrays), text(&read), "arrays changed on the way through a file");
    }
}

/// Imports bytes as an ONNX model. A recurrence that is read takes its parameters.
///
/// # Panics
/// When the text of a model is no recurrence, or its parameters do not fit it.
pub fn import(bytes: &[u8]) {
    match Imported::onnx("fuzz.onnx", bytes, &Import::new()) {
        Ok(imported) => {
            let params = imported.params.params::<f64>(&imported.recurrence);
            assert!(params.is_ok(), "{params:?}");
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains("a mistake of the import"), "{text}");
            assert!(text.len() < 20_000, "an error of {} characters", text.len());
        }
    }
}

/// The path of a temporary file of this process.
fn scratch(name: &str, extension: &str) -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    let folder = if shared.is_dir() { shared } else { env::temp_dir() };
    folder.join(format!("bptt-fuzz-{}-{name}.{extension}", process::id()))
}
