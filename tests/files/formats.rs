//! Data files: written files can be read, files of NumPy are understood, and damaged or hostile files are
//! refused with a message. The files in `data/files` were written by NumPy.

use std::fs;
use std::path::{Path, PathBuf};

use super::inputs::model;
use crate::support::Noise;
use crate::support::folder::Folder;
use bptt::Recurrence;
use bptt::data::{Array, Arrays};
use ndarray::{Array1, ArrayD, IxDyn, arr0, array};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/files")
        .join(name)
}

fn refusal(path: &Path) -> String {
    Arrays::read(path).expect_err("this is refused").to_string()
}

#[test]
fn what_numpy_wrote_is_read() {
    let found = Arrays::read(sample("plain.npz")).unwrap();
    let x = ArrayD::from_shape_fn(IxDyn(&[2, 1, 3]), |i| (3 * i[0] + i[2]) as f64 / 4.0);
    assert_eq!(found.get("y").map(Array::kind), Some("f32"));
    assert_eq!(found.get("y").map(Array::real), Some(x.clone()));
    assert_eq!(found.get("x"), Some(&Array::F64(x)));
    assert_eq!(
        found.get("c"),
        Some(&Array::Int(array![[1], [0]].into_dyn()))
    );
    assert_eq!(found.get("s"), Some(&Array::F64(arr0(2.5).into_dyn())));
    assert_eq!(
        found.get("flag"),
        Some(&Array::Bool(array![true, false].into_dyn()))
    );
    assert_eq!(found.get("u"), Some(&Array::Int(array![7].into_dyn())));
    let found = Arrays::read(sample("compressed.npz")).unwrap();
    assert_eq!(
        found.get("zeros"),
        Some(&Array::F64(ArrayD::zeros(vec![20, 50])))
    );
}

#[test]
fn what_was_written_is_read() {
    let folder = Folder::new("round_trip");
    let arrays = Arrays::new()
        .with("θ.dot", array![[0.1, -0.0], [1e300, 5e-324]])
        .with("half", array![1.5_f32])
        .with("none", Array1::<f64>::zeros(0))
        .with("number", arr0(std::f64::consts::PI))
        .with("class", array![[0_i64, -3]])
        .with("flag", array![true, false]);
    for name in ["a.npz", "a.safetensors", "A.NPZ", "A.SafeTensors"] {
        let path = folder.file(name);
        arrays.write(&path).unwrap();
        let found = Arrays::read(&path).unwrap();
        assert_eq!(found.iter().count(), 6, "{name}");
        for (key, array) in arrays.iter() {
            assert_eq!(found.get(key), Some(array), "{name}: {key}");
        }
    }
}

#[test]
fn other_orders_are_read() {
    let expected = |name: &str| match name {
        "fortran.npz" => array![[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]].into_dyn(),
        _ => array![[[0.0, 0.25, 0.5]], [[0.75, 1.0, 1.25]]].into_dyn(),
    };
    for name in ["fortran.npz", "big_endian.npz"] {
        let found = Arrays::read(sample(name)).unwrap();
        assert_eq!(found.get("x"), Some(&Array::F64(expected(name))), "{name}");
    }
}

/// The reason against the array `x` of a file, which is an error only if it is used.
fn reason_against(path: &Path) -> String {
    let found = Arrays::read(path).unwrap();
    let [(name, reason)] = found.refused().collect::<Vec<_>>()[..] else {
        panic!("{}: one array is refused", path.display());
    };
    assert_eq!(name, "x", "of {}", path.display());
    let model = |text: &str| Recurrence::parse("model.rec", text).unwrap();
    let input = model("input x\nloss x\n");
    let message = found.batch::<f64>(&input).unwrap_err().to_string();
    assert_eq!(message, reason, "as an input");
    let param = model("param x\nloss x\n");
    let message = found.params::<f64>(&param).unwrap_err().to_string();
    assert_eq!(message, reason, "as a parameter");
    let used = found.clone().with("y", array![[1.0]]);
    let other = model("input y\nloss y\n");
    assert!(used.batch::<f64>(&other).is_ok(), "`x` is not used");
    assert!(used.params::<f64>(&param).is_err(), "`y` is no parameter");
    reason.to_owned()
}

#[test]
fn types_that_are_no_numbers_are_refused_when_used() {
    let cases = [
        (
            "complex.npz",
            "type `<c16`, expected numbers or booleans; save `array.real` and `array.imag`",
        ),
        (
            "text.npz",
            "type `<U1`, expected numbers or booleans; number the texts",
        ),
        (
            "object.npz",
            "type `|O`, expected numbers or booleans; save it with `array.astype",
        ),
        (
            "records.npz",
            "type `records`, expected numbers or booleans; save each field",
        ),
    ];
    for (file, expected) in cases {
        let message = reason_against(&sample(file));
        assert!(message.contains(expected), "{message}");
        assert!(
            message.contains("array `x`") && !message.contains('{'),
            "{message}"
        );
    }
}

/// A file of one tensor `x` of two entries.
fn tensor(dtype: &str, entries: &[u8]) -> Vec<u8> {
    let header = format!(
        "{{\"x\":{{\"dtype\":\"{dtype}\",\"shape\":[2],\"data_offsets\":[0,{}]}}}}",
        entries.len()
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(entries);
    bytes
}

#[test]
fn narrow_types_are_widened_exactly() {
    let folder = Folder::new("narrow-types");
    let path = folder.file("x.safetensors");
    let read = |path: &Path| Arrays::read(path).unwrap().get("x").cloned().unwrap();
    let reals = |a: f32, b: f32| Array::F32(array![a, b].into_dyn());
    let integers = |a: i64, b: i64| Array::Int(array![a, b].into_dyn());
    for (dtype, descr, entries, expected) in [
        (
            "F16",
            "<f2",
            &[0x00, 0x3c, 0x00, 0xc0][..],
            reals(1.0, -2.0),
        ),
        ("BF16", "", &[0x80, 0x3f, 0x49, 0x40], reals(1.0, 3.140_625)),
        ("I8", "|i1", &[1, 0xff], integers(1, -1)),
        ("U8", "|u1", &[1, 0xff], integers(1, 255)),
        ("I16", "<i2", &[1, 0, 0xfe, 0xff], integers(1, -2)),
        ("I16", ">i2", &[0, 1, 0xff, 0xfe], integers(1, -2)),
        ("U16", "<u2", &[1, 0, 0xfe, 0xff], integers(1, 65534)),
        (
            "U32",
            "<u4",
            &[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            integers(1, u32::MAX.into()),
        ),
    ] {
        if !descr.starts_with('>') {
            fs::write(&path, tensor(dtype, entries)).unwrap();
            assert_eq!(read(&path), expected, "{dtype}");
        }
        if !descr.is_empty() {
            let header =
                format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2,), }}\n");
            fs::write(folder.file("x.npz"), npz(&header, entries)).unwrap();
            assert_eq!(read(&folder.file("x.npz")), expected, "{descr}");
        }
    }
    fs::write(&path, tensor("F8_E4M3", &[1, 2])).unwrap();
    let message = reason_against(&path);
    assert!(message.contains("`tensor.to(torch.float32)`"), "{message}");
    fs::write(&path, tensor("C64", &[0; 16])).unwrap();
    let message = reason_against(&path);
    assert!(message.contains("`tensor.real`"), "{message}");
    fs::write(&path, tensor("U64", &[0xff; 16])).unwrap();
    let message = reason_against(&path);
    assert!(
        message.contains("has the entry 18446744073709551615 at [0]"),
        "{message}"
    );
}

#[test]
fn a_bomb_is_refused_before_it_expands() {
    let limit = 1 << 20;
    let error = Arrays::read_limited(sample("bomb.npz"), limit)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("array `x` expands to 320000000 bytes"),
        "{error}"
    );
    assert!(
        Arrays::read(sample("bomb.npz")).is_ok(),
        "320 MB are below the usual limit"
    );
}

/// Narrow integers are widened; the limit applies to the memory after that.
#[test]
fn a_bomb_of_narrow_integers_is_refused() {
    let folder = Folder::new("narrow");
    let path = folder.file("x.npz");
    let header = "{'descr': '|i1', 'fortran_order': False, 'shape': (900000,), }\n";
    fs::write(&path, npz_with(header, &vec![0; 900_000], true)).unwrap();
    let error = Arrays::read_limited(&path, 1 << 20)
        .unwrap_err()
        .to_string();
    assert!(error.contains("expands to 7200000 bytes"), "{error}");
    assert!(Arrays::read(&path).is_ok(), "below the usual limit");
    // Of an archive without compression, the bytes are known, whatever a header promises.
    let header = "{'descr': '|i1', 'fortran_order': False, 'shape': (7000000000000,), }\n";
    let bytes = npz_with(header, &vec![0; 900_000], false);
    fs::write(folder.file("cut.npz"), bytes).unwrap();
    let error = Arrays::read(folder.file("cut.npz")).unwrap_err();
    let found = 10 + header.len() + 900_000;
    let expected = format!(
        "array `x` has {found} bytes, expected {}",
        found as u64 - 900_000 + 7_000_000_000_000
    );
    assert!(error.to_string().contains(&expected), "{error}");
    // An archive without compression has no limit.
    let header = "{'descr': '|i1', 'fortran_order': False, 'shape': (900000,), }\n";
    fs::write(&path, npz_with(header, &vec![0; 900_000], false)).unwrap();
    assert!(Arrays::read_limited(&path, 1 << 20).is_ok(), "not a bomb");
}

#[test]
fn a_tensor_of_many_axes_is_refused() {
    let folder = Folder::new("axes");
    let path = folder.file("x.safetensors");
    let header = format!(
        "{{\"x\":{{\"dtype\":\"F64\",\"shape\":[1{}],\"data_offsets\":[0,8]}}}}",
        ",1".repeat(9)
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 8]);
    fs::write(&path, bytes).unwrap();
    let message = refusal(&path);
    assert!(
        message.contains("array `x` has 10 axes, expected at most 8"),
        "{message}"
    );
}

/// The bytes of a `.npz` with one `.npy` member, whose header and entries may disagree.
fn npz(header: &str, entries: &[u8]) -> Vec<u8> {
    npz_with(header, entries, true)
}

fn npz_with(header: &str, entries: &[u8], compressed: bool) -> Vec<u8> {
    use std::io::Write;
    let mut member = b"\x93NUMPY\x01\x00".to_vec();
    member.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    member.extend(header.as_bytes());
    member.extend(entries);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let method = match compressed {
        true => zip::CompressionMethod::Deflated,
        false => zip::CompressionMethod::Stored,
    };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    archive.start_file("x.npy", options).unwrap();
    archive.write_all(&member).unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn headers_that_lie_are_refused() {
    let header = |descr: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
    };
    let cases = [
        (header("<f8", "(3,)"), "has 84 bytes, expected 92"),
        (header("<f8", "(1,)"), "expected 76"),
        (header("<f8", "(4611686018427387904, 4)"), "too large"),
        (header("<f8", "(1000000000000,)"), "more than the limit"),
        (header("<f8", "(1, 1, 1, 1, 1, 1, 1, 1, 2)"), "has 9 axes"),
        (header("<f8", "(-2,)"), "sizes in `shape`"),
        (header("<f8", "2"), "without `shape`"),
        ("{'descr': '<f8'}".into(), "without `fortran_order`"),
        ("nonsense".into(), "without `descr`"),
        (header("<f8", "(1,)*2"), "`*` where `}` is expected"),
        (header("<f8", "(1,)+(2,)"), "`+` where `}` is expected"),
        (header("<f8", "(2)"), "sizes in `shape`"),
        (header("<f8", "(+2,)"), "sizes in `shape`"),
        (header("<f8", "(2L,)"), "sizes in `shape`"),
        (header("<f8", "(,)"), "sizes in `shape`"),
        (header("<f8", "(1,,2)"), "sizes in `shape`"),
        (header("<f8", "(1 2)"), "`2` where `)` is expected"),
        (header("<f8", "(2,"), "sizes in `shape`"),
        (header("<f8", "(2,)") + "}", "goes on after its dictionary"),
        (
            header("<f8", "(2,)") + "# (3,)",
            "goes on after its dictionary",
        ),
        (header("<f8", "(2,), 'more': 1"), "the key `more`"),
        (
            header("<f8", "(2,)").replace("'<f8'", "'<f8' * 1"),
            "`*` where",
        ),
        (
            header("<f8", "(2,)").replace("False", "Falsehood"),
            "neither `True`",
        ),
        (header("<f8", "(2,)").replace('}', ""), "an end where"),
    ];
    let folder = Folder::new("headers");
    let path = folder.file("x.npz");
    for (header, expected) in cases {
        fs::write(&path, npz(&header, &[0; 16])).unwrap();
        let message = refusal(&path);
        assert!(message.contains(expected), "{header}: {message}");
    }
    for descr in ["", "é", "<f", "<f81", "<<f8"] {
        fs::write(&path, npz(&header(descr, "(2,)"), &[0; 16])).unwrap();
        let message = reason_against(&path);
        assert!(message.contains(&format!("type `{descr}`")), "{message}");
    }
}

#[test]
fn truncated_and_damaged_files_are_refused() {
    let folder = Folder::new("damaged");
    let arrays = Arrays::new()
        .with("x", array![1.0, 2.0])
        .with("y", array![[3.0_f32]]);
    for name in ["a.npz", "a.safetensors"] {
        let path = folder.file(name);
        arrays.write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let message = refusal(&path);
            assert!(message.contains(name), "{length}: {message}");
            let cure = message.contains("write it again, with `safetensors.numpy.save_file`");
            assert!(
                name.ends_with("npz") || length < 8 || cure,
                "{length}: {message}"
            );
        }
        // A changed byte is detected, or changes names and numbers; it never causes a panic.
        for at in 0..whole.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                fs::write(&path, &bytes).unwrap();
                let _ = Arrays::read(&path);
            }
        }
    }
    // The numbers of a `.npz` are protected by its checksums.
    let path = folder.file("a.npz");
    arrays.write(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes
        .windows(8)
        .position(|w| w == 2f64.to_le_bytes())
        .unwrap();
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let message = refusal(&path);
    assert!(message.contains("array `x` is damaged"), "{message}");
}

/// A valid file with some bytes changed, removed, duplicated, or taken from another file.
fn mutated(files: &[Vec<u8>], noise: &mut Noise) -> Vec<u8> {
    const BYTES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xff, b'9'];
    let mut below = |n: usize| usize::try_from(noise.bits() % n.max(1) as u64).unwrap();
    let mut bytes = files[below(files.len())].clone();
    for _ in 0..=below(6) {
        let at = below(bytes.len());
        let to = (at + below(24)).min(bytes.len());
        match below(6) {
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes[at] = BYTES[below(BYTES.len())],
            2 => bytes[at..to].fill(BYTES[below(BYTES.len())]),
            3 => drop(bytes.drain(at..to)),
            4 => {
                let part = bytes[at..to].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let other = &files[below(files.len())];
                let from = below(other.len());
                let part = other[from..(from + below(64)).min(other.len())].to_vec();
                bytes.splice(at..to, part);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// Reads mutated files of every format until the time is up; returns the number of files, and the number of
/// those that could be read.
fn survive_mutations(seconds: u64, seed: u64) -> (u64, u64) {
    let folder = Folder::new(&format!("mutated-{seed}"));
    let valid = |name: &str| {
        let arrays = Arrays::new()
            .with("x", ndarray::Array3::<f64>::ones((4, 2, 3)))
            .with("y", ndarray::Array2::<i64>::ones((4, 2)))
            .with("rnn.weight_ih_l0", array![[0.5_f32]]);
        arrays.write(folder.file(name)).unwrap();
        fs::read(folder.file(name)).unwrap()
    };
    let mut archives = vec![valid("valid.npz")];
    for name in ["plain.npz", "compressed.npz", "bomb.npz", "records.npz"] {
        archives.push(fs::read(sample(name)).unwrap());
    }
    let kinds = [
        ("a.npz", archives),
        ("a.safetensors", vec![valid("valid.safetensors")]),
        (
            "a.csv",
            vec![b"a, x[0] ,x[1]\n1,2,3\n-1e3,.5,0\n\n".to_vec()],
        ),
    ];
    let until = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let mut noise = Noise(seed);
    let (mut count, mut accepted) = (0, 0);
    while count < 300 || std::time::Instant::now() < until {
        let (name, files) = &kinds[usize::try_from(count % 3).unwrap()];
        let bytes = mutated(files, &mut noise);
        let path = folder.file(name);
        fs::write(&path, &bytes).unwrap();
        let survived = std::panic::catch_unwind(|| match Arrays::read_limited(&path, 1 << 22) {
            Err(error) => {
                assert!(error.to_string().contains(name), "{error}");
                false
            }
            Ok(found) => {
                // Arrays that can be read give data or an error, and can be written and read again.
                let _ = found.batch::<f64>(&model());
                let _ = found.params::<f32>(&model());
                let _ = found.pytorch_params::<f64>(&model());
                let again = path.with_extension("npz");
                found.write(&again).unwrap();
                let again = Arrays::read(&again).unwrap();
                assert_eq!(
                    again.iter().count(),
                    found.iter().count(),
                    "nothing is lost"
                );
                true
            }
        });
        let Ok(read) = survived else {
            let kept = std::env::temp_dir().join(format!("bptt-crash-{seed}-{name}"));
            fs::write(&kept, &bytes).unwrap();
            panic!("{} is not survived", kept.display());
        };
        count += 1;
        accepted += u64::from(read);
    }
    (count, accepted)
}

#[test]
fn changed_files_are_survived() {
    let (count, accepted) = survive_mutations(1, 1);
    assert!(accepted > 0 && accepted < count, "{accepted} of {count}");
}

/// The same for a chosen time:
/// `BPTT_FUZZ_SECONDS=600 cargo test --release --test files -- --ignored --nocapture formats`.
#[test]
#[ignore = "runs for as long as BPTT_FUZZ_SECONDS says"]
fn changed_files_are_survived_for_long() {
    let seconds = std::env::var("BPTT_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|s| s.parse().ok()).unwrap_or(10);
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let (count, accepted) = survive_mutations(seconds, seed.unwrap().as_secs());
    println!("{count} files, {accepted} of them read");
}

#[test]
fn other_files_are_refused() {
    let folder = Folder::new("other");
    let missing = refusal(&folder.file("missing.npz"));
    assert!(missing.contains("cannot be read"), "{missing}");
    fs::create_dir(folder.file("folder.npz")).unwrap();
    let directory = refusal(&folder.file("folder.npz"));
    assert!(directory.contains("is not a file"), "{directory}");
    // A file of 64 GiB is refused without reading it whole.
    for name in ["huge.npz", "huge.safetensors"] {
        let file = fs::File::create(folder.file(name)).unwrap();
        file.set_len(1 << 36).unwrap();
        let message = refusal(&folder.file(name));
        assert!(message.contains("is not a ."), "{message}");
        fs::remove_file(folder.file(name)).unwrap();
    }
    for (name, expected) in [
        ("model.pt", "expected a .safetensors file"),
        ("x.npy", "is not a .npy array"),
        (
            "x.txt",
            "expected a .npz, .npy, .safetensors, .csv or .tsv file",
        ),
        ("text.npz", "is not a .npz archive"),
        ("text.safetensors", "is not a .safetensors file"),
    ] {
        let path = folder.file(name);
        fs::write(&path, "neither of these, but long enough to have a header").unwrap();
        let message = refusal(&path);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn tables_are_read() {
    let folder = Folder::new("tables");
    let path = folder.file("t.csv");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        Arrays::read(&path).map_err(|e| e.to_string())
    };
    let found = read("a, x[0] ,x[1]\n1,2,3\n-1e3,.5,0\n\n").unwrap();
    assert_eq!(
        found.get("a"),
        Some(&Array::F64(array![[1.0], [-1e3]].into_dyn()))
    );
    let x = array![[[2.0, 3.0]], [[0.5, 0.0]]];
    assert_eq!(found.get("x"), Some(&Array::F64(x.into_dyn())));
    for (text, expected) in [
        ("", "is empty"),
        ("a,b\n1\n", "line 2: expected 2 fields, found 1"),
        ("a,a\n1,2\n", "columns 1 and 2 are both named `a`"),
        ("x[1],x[2]\n1,2\n", "column `x[1]`"),
        (
            "\"A[0,0]\",\"A[1,1]\"\n1,2\n",
            "column `A[1,1]`, number 2 of the table",
        ),
        ("x[0],x\n1,2\n", "column `x`"),
    ] {
        let message = read(text).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}
