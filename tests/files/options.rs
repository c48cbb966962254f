//! Files read for a recurrence: columns of other names, unused columns, missing values, samples, order, dates, classes.

use std::fs;
use std::io::Write;

use crate::support::folder::Folder;
use bptt::Recurrence;
use bptt::data::{Array, Arrays, MASK, Missing, ReadOptions};
use ndarray::{Array3, ArrayD, IxDyn, array};

pub(crate) fn recurrence(text: &str) -> Recurrence {
    Recurrence::parse("r.rec", &format!("{text}\nparam a = 1\n")).unwrap()
}

/// An input and a class per step, and an input per sample.
fn model() -> Recurrence {
    recurrence(
        "input x, y: class(C)\nsample input z\ndim C\nparam p[C]\nloss a * x * z + gather(p, y)",
    )
}

fn sum() -> Recurrence {
    recurrence("input x\nloss a * x")
}

pub(crate) fn read(
    text: &str,
    recurrence: &Recurrence,
    options: &ReadOptions,
) -> Result<Arrays, String> {
    let folder = Folder::new("options");
    let path = folder.file("t.csv");
    fs::write(&path, text).unwrap();
    options.read(recurrence, &path).map_err(|error| {
        let text = error.to_string();
        text.strip_prefix(&format!("{}: ", path.display()))
            .map_or(text.clone(), Into::into)
    })
}

pub(crate) fn numbers(arrays: &Arrays, name: &str) -> ArrayD<f64> {
    arrays
        .get(name)
        .unwrap_or_else(|| panic!("no {name}"))
        .real()
}

pub(crate) fn step(numbers: &[f64]) -> ArrayD<f64> {
    ArrayD::from_shape_vec(IxDyn(&[numbers.len(), 1]), numbers.to_vec()).unwrap()
}

#[test]
fn columns_without_a_use_may_hold_anything() {
    let text = "x,x 2,twice,twice,,A[1],A[7]\n1,\"a, \"\"b\"\"\nc\",?,,u,1e999,1,5\n";
    let message = read(text, &sum(), &ReadOptions::new()).unwrap_err();
    assert!(
        message.contains("line 2: expected 7 fields, found 8"),
        "{message}"
    );
    let found = read(&text.replace(",5\n", "\n"), &sum(), &ReadOptions::new()).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[1.0]));
    assert_eq!(found.iter().count(), 1);
    assert!(found.unused().eq(["x 2", "twice", "twice", "A[1]", "A[7]"]));
    assert_eq!(found.refused().count(), 0);
}

#[test]
fn arrays_without_a_use_may_hold_anything() {
    let folder = Folder::new("unused");
    let npz = folder.file("d.npz");
    let mut archive = zip::ZipWriter::new(fs::File::create(&npz).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    let mut add = |name: &str, bytes: &[u8]| {
        archive.start_file(name, options).unwrap();
        archive.write_all(bytes).unwrap();
    };
    let x = b"\x93NUMPY\x01\x00\x37\x00{'descr':'>f4','fortran_order':False,'shape':(1,1), } \n";
    add("x.npy", &[&x[..10], &x[10..], &2f32.to_be_bytes()].concat());
    add("objects.npy", b"\x93NUMPY\x07 and a version of the future");
    add("readme.txt", b"no array at all");
    archive.finish().unwrap();
    // A method of compression that cannot be read.
    let mut bytes = fs::read(&npz).unwrap();
    let at = bytes
        .windows(11)
        .rposition(|name| name == b"objects.npy")
        .unwrap()
        - 46;
    assert_eq!(bytes[at..at + 4], *b"PK\x01\x02");
    bytes[at + 10] = 14;
    fs::write(&npz, bytes).unwrap();
    let found = ReadOptions::new().read(&sum(), &npz).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[2.0]));
    assert!(found.unused().eq(["objects", "readme.txt"]));
    assert!(Arrays::read(&npz).is_err(), "all of it is no data");

    let tensors = folder.file("d.safetensors");
    let arrays = Arrays::new()
        .with("x", array![[1.0], [2.0]])
        .with("other", array![1_i64]);
    arrays.write(&tensors).unwrap();
    let found = ReadOptions::new().read(&sum(), &tensors).unwrap();
    assert!(found.unused().eq(["other"]) && found.iter().count() == 1);
}

/// `.npy` files, of the name of an input or bound to it.
#[test]
fn single_arrays_and_several_files_are_joined_by_name() {
    let folder = Folder::new("joined");
    let npy = |name: &str, descr: &str, entries: &[u8]| {
        let mut header =
            format!("{{'descr': '{descr}', 'fortran_order': True, 'shape': (2, 1), }}");
        header += &" ".repeat(117 - header.len());
        header.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(entries);
        fs::write(folder.file(name), bytes).unwrap();
    };
    let both = recurrence("input x, y\nloss a * x * y");
    // 1.5 and −2 in bfloat16 and float16.
    npy("x.npy", "<V2", &[0xc0, 0x3f, 0x00, 0xc0]);
    npy("halves.npy", ">f2", &[0x3e, 0x00, 0xc0, 0x00]);
    npy("bits.npy", "|b1", &[1, 0]);
    fs::write(folder.file("y.csv"), "t,y\n0,3\n1,4\n").unwrap();
    let path = |name: &str| folder.file(name);
    let options = ReadOptions::new();
    let found = options
        .read_all(&both, &[path("x.npy"), path("y.csv")])
        .unwrap();
    assert_eq!(numbers(&found, "x"), step(&[1.5, -2.0]));
    assert_eq!(numbers(&found, "y"), step(&[3.0, 4.0]));
    assert_eq!(both.inputs().count(), 2);
    let bound = options.column("x", "halves").column("y", "bits");
    let found = bound
        .read_all(&both, &[path("halves.npy"), path("bits.npy")])
        .unwrap();
    assert_eq!(numbers(&found, "x"), step(&[1.5, -2.0]));
    let batch = found.batch::<f64>(&both).unwrap();
    assert_eq!(batch.steps(), 2);
    let twice = ReadOptions::new().read_all(&both, &[path("y.csv"), path("y.csv")]);
    let message = twice.unwrap_err().to_string();
    assert!(
        message.contains("has `y`, as one of the files before it"),
        "{message}"
    );
    let message = bound
        .read_all(&both, &[path("x.npy"), path("y.csv")])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("there is no column or array `halves`, which is to be `x`"),
        "{message}"
    );
}

#[test]
fn columns_become_inputs_and_their_entries() {
    let text = "Date,Close,Adj Close,Volume\n2024-01-02,1,2,3\n2024-01-03,4,5,6\n";
    let vector = recurrence("dim K\ninput x[K], A[K, K]\nloss a * sum(A @ x)");
    let options = ReadOptions::new()
        .column("x[1]", "Close")
        .column("x[0]", "Adj Close")
        .column("A[0,0]", "Close")
        .column("A[0,1]", "Close")
        .column("A[1,0]", "Volume")
        .column("A[1,1]", "Date:days");
    let found = read(text, &vector, &options).unwrap();
    let x = Array3::from_shape_vec((2, 1, 2), vec![2.0, 1.0, 5.0, 4.0]).unwrap();
    assert_eq!(numbers(&found, "x"), x.into_dyn());
    let a = numbers(&found, "A");
    assert_eq!(a.shape(), [2, 1, 2, 2]);
    assert_eq!(a.as_slice().unwrap()[4..], [4.0, 4.0, 6.0, 19725.0]);
    assert_eq!(found.batch::<f64>(&vector).unwrap().steps(), 2);

    let one = ReadOptions::new().column("x", "Close").column("A", "Close");
    let found = read(text, &vector, &one).unwrap();
    assert_eq!(found.get("A").unwrap().shape(), [2, 1, 1, 1]);
    for (input, column, expected) in [
        (
            "x",
            "Open",
            "there is no column `Open`; the table has: `Date`, `Close`",
        ),
        (
            "x[1]",
            "Close",
            "column `Close`, number 2 of the table: expected `x`, or `x[0]`, `x[1]`, …",
        ),
        ("z", "Close", "no input named `z`"),
        (
            "x",
            "Close:weeks",
            "column `Close` cannot be read as `weeks`, expected one of `class`, `days`",
        ),
        (
            "x",
            "Close:days",
            "line 2: `Close`: expected a date, found `1`; write it as `2024-01-31`",
        ),
        (
            "x",
            "Date",
            "line 2: `Date`: expected a number, found `2024-01-02`",
        ),
    ] {
        let options = ReadOptions::new().column(input, column);
        let found = read(text, &vector, &options).and_then(|arrays| {
            let batch = arrays.batch::<f64>(&vector);
            batch.map_err(|error| error.to_string())
        });
        let message = found.unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn rows_with_missing_values_are_refused_dropped_split_or_masked() {
    let text = "x,other\n1,\n2,\nNA,\n?,3\n5,\n";
    let dropped = ReadOptions::new().missing(Missing::DropRow);
    let last = read("x\n1\nNA\n", &sum(), &dropped).unwrap();
    assert_eq!(numbers(&last, "x"), step(&[1.0]), "the last row is dropped");
    let read = |missing| read(text, &sum(), &ReadOptions::new().missing(missing));
    let message = read(Missing::Refuse).unwrap_err();
    assert!(
        message.starts_with(
            "line 4, column `x`: expected a value, found a missing one, the first of 2 rows"
        ),
        "{message}"
    );
    let found = read(Missing::DropRow).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[1.0, 2.0, 5.0]));
    assert!(
        found
            .notes()
            .eq(["omitted 2 rows with missing values, the first at line 4"])
    );
    let found = read(Missing::Split).unwrap();
    assert_eq!(
        numbers(&found, "x"),
        array![[1.0, 5.0], [2.0, 0.0]].into_dyn()
    );
    assert_eq!(
        found.get("lengths"),
        Some(&Array::Int(array![2, 1].into_dyn()))
    );
    let found = read(Missing::Mask).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[1.0, 2.0, 0.0, 0.0, 5.0]));
    assert_eq!(numbers(&found, MASK), step(&[1.0, 1.0, 0.0, 0.0, 1.0]));
    let masked = sum().with_mask(MASK).unwrap();
    let params = bptt::Params::<f64>::new().with("a", ndarray::arr0(1.0));
    let loss = masked.evaluate(&params, &found.batch(&masked).unwrap());
    assert_eq!(loss.unwrap().loss().unwrap(), 8.0);
}

/// The mask of a recurrence excludes its steps, and takes the missing values.
#[test]
fn missing_values_at_masked_steps_are_not_read() {
    let own = recurrence("mask input m\ninput x\nloss a * x");
    let text = "x,m\n1,1\nNA,0\nNA,1\n";
    let message = read(text, &own, &ReadOptions::new()).unwrap_err();
    assert!(
        message.starts_with("line 4, column `x`: expected a value"),
        "{message}"
    );
    let found = read(&text.replace("NA,1", "3,1"), &own, &ReadOptions::new()).unwrap();
    assert!(found.batch::<f64>(&own).is_ok());
    let masked = ReadOptions::new().missing(Missing::Mask);
    for text in [text, "x\n1\nNA\nNA\n"] {
        let found = read(text, &own, &masked).unwrap();
        assert_eq!(numbers(&found, "m"), step(&[1.0, 0.0, 0.0]), "{text}");
        assert!(found.get(MASK).is_none());
    }
}

#[test]
fn samples_of_a_long_table_are_ragged_sorted_and_have_values_of_their_own() {
    let text = "who,day,x,y,z\nb,2,12,1,7\na,2,2,0,5\nb,10,13,0,7\na,1,1,1,5\nb,1,11,1,7\n";
    let options = ReadOptions::new().id("who").sort("day");
    let found = read(text, &model(), &options).unwrap();
    assert_eq!(
        numbers(&found, "x"),
        array![[11.0, 1.0], [12.0, 2.0], [13.0, 0.0]].into_dyn()
    );
    assert_eq!(numbers(&found, "z"), array![7.0, 5.0].into_dyn());
    assert_eq!(
        found.get("lengths"),
        Some(&Array::Int(array![3, 2].into_dyn()))
    );
    let batch = found.batch::<f64>(&model()).unwrap();
    assert_eq!(
        batch.classes("y"),
        Some(&array![[1, 1], [1, 0], [0, 0]].into_dyn())
    );
    assert!(found.unused().next().is_none(), "all columns have a use");
    for (text, expected) in [
        (
            "who,day,x,y,z\na,1,1,0,5\na,2,1,0,6\n",
            "line 3, column `z`: expected 5 as in line 2, found 6: `z` is an input per sample, and has one value \
             within one `who`",
        ),
        (
            "who,day,x,y,z\n,1,1,0,5\n",
            "line 2: the name of the sample is missing",
        ),
        (
            "who,day,x,y,z\na,NA,1,0,5\n",
            "line 2: the place in the order is missing",
        ),
        ("day,x,y,z\n1,1,0,5\n", "there is no column `who`"),
    ] {
        let message = read(text, &model(), &options).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    }
    // A table of one sample; dates and texts as places in the order.
    for (days, expected) in [
        (["2.1.2024", "1.1.2024", "10.1.2023"], [3.0, 2.0, 1.0]),
        (["b", "a", "c"], [2.0, 1.0, 3.0]),
    ] {
        let rows = days
            .iter()
            .zip(1..)
            .map(|(day, x)| format!("{day},{x},0,4\n"));
        let text = format!("day,x,y,z\n{}", rows.collect::<String>());
        let found = read(&text, &model(), &ReadOptions::new().sort("day")).unwrap();
        assert_eq!(numbers(&found, "x"), step(&expected));
        assert_eq!(numbers(&found, "z"), array![4.0].into_dyn());
    }
}

/// Missing values of samples: pieces stay within their sample, and a sample without rows is left out.
#[test]
fn samples_are_split_and_dropped_on_their_own() {
    let text = "id,x\na,1\nb,2\na,NA\nc,NA\na,3\nb,4\n";
    let options = ReadOptions::new().id("id").missing(Missing::Split);
    let found = read(text, &sum(), &options).unwrap();
    assert_eq!(
        numbers(&found, "x"),
        array![[1.0, 3.0, 2.0], [0.0, 0.0, 4.0]].into_dyn()
    );
    let found = read(text, &sum(), &options.missing(Missing::DropRow)).unwrap();
    assert_eq!(
        numbers(&found, "x"),
        array![[1.0, 2.0], [3.0, 4.0]].into_dyn()
    );
    assert!(found.get("lengths").is_none(), "the lengths are equal");
    let none = read(
        "x\nNA\n",
        &sum(),
        &ReadOptions::new().missing(Missing::DropRow),
    );
    assert!(
        none.unwrap_err()
            .contains("every row has a missing value in a column that is used, such as line 2")
    );
}

#[test]
fn texts_become_classes_and_are_kept_beside_parameters() {
    let classes = recurrence("dim C\ninput x: class(C)\nparam p[C]\nloss a * gather(p, x)");
    let text = "x\nmid\nlow\nhigh\nlow\n";
    let found = read(text, &classes, &ReadOptions::new()).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[2.0, 1.0, 0.0, 1.0]));
    assert_eq!(found.alphabet("x").unwrap(), ["high", "low", "mid"]);
    let mut saved = Arrays::new()
        .with("a", ndarray::arr0(1.0))
        .with("p", array![1.0, 2.0, 3.0]);
    saved
        .insert_alphabet("x", found.alphabet("x").unwrap())
        .unwrap();
    assert!(saved.params::<f64>(&classes).is_ok());
    let folder = Folder::new("alphabet");
    saved.write(folder.file("p.npz")).unwrap();
    let saved = Arrays::read(folder.file("p.npz")).unwrap();
    let options = saved
        .saved_alphabets()
        .fold(ReadOptions::new(), |options, (input, classes)| {
            options.alphabet(&input, classes)
        });
    let again = read("x\nmid\nlow\n", &classes, &options).unwrap();
    assert_eq!(numbers(&again, "x"), step(&[2.0, 1.0]));
    let message = read("x\nlow\nother\n", &classes, &options).and_then(|arrays| {
        let batch = arrays.batch::<f64>(&classes);
        batch.map_err(|error| error.to_string())
    });
    let message = message.unwrap_err();
    assert!(
        message.contains(
            "line 3: `x`: expected one of the classes `high`, `low`, `mid`, found `other`"
        ),
        "{message}"
    );
    // Integers are classes as they are, unless they are to be numbered.
    let found = read("x\n2\n10\n2\n", &classes, &ReadOptions::new()).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[2.0, 10.0, 2.0]));
    assert!(found.alphabet("x").is_none());
    let numbered = ReadOptions::new().column("x", "x:class");
    let found = read("x\n2\n10\n2\n", &classes, &numbered).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[0.0, 1.0, 0.0]));
    assert_eq!(found.alphabet("x").unwrap(), ["2", "10"]);
}

pub(crate) fn refusal(text: &str, recurrence: &Recurrence, options: &ReadOptions) -> String {
    let found = read(text, recurrence, options).and_then(|arrays| {
        let batch = arrays.batch::<f64>(recurrence);
        batch.map_err(|error| error.to_string())
    });
    found.unwrap_err()
}

#[test]
fn decimal_commas_and_separators_of_thousands_are_read() {
    let comma = ReadOptions::new().decimal(',').thousands('.');
    let found = read("x;y\n1.234,5;\n-0,5;\n", &sum(), &comma).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[1234.5, -0.5]));
    let groups = ReadOptions::new().thousands(',');
    let found = read("x,y\n\"1,234,567.5\",\n2,\n", &sum(), &groups).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[1_234_567.5, 2.0]));
}

#[test]
fn further_rows_of_names_are_refused_by_number() {
    let text = "Price,x\nTicker,AAPL\nDate,\n2024-01-02,1\n2024-01-03,2\n";
    let refused = |text: &str| {
        let arrays = read(text, &sum(), &ReadOptions::new()).unwrap();
        arrays.batch::<f64>(&sum()).unwrap_err().to_string()
    };
    let message = refused(text);
    assert!(
        message.contains("lines 2 to 3 have no numbers, as further rows of names, such as `AAPL`; expected one row"),
        "{message}"
    );
    let message = refused("x\nmetres\n1\n2\n");
    assert!(
        message.contains("found `metres`")
            && message.contains("if line 2 is a further row of names, remove it"),
        "{message}"
    );
}

/// Tables with random changes are read or refused with a message of modest length.
#[test]
fn changed_tables_are_read_or_refused() {
    const SIGNS: &[u8] = b"\",;\n\r\t|#x0[].NA \xff\x00-e";
    let start = "id,t,x,y,z,A\na,2024-01-02,1,low,3,\"b, c\"\n\na,2024-01-01,NA,high,3,\nb,2024-01-03,\"1,500\",low,3,\n";
    let folder = Folder::new("changed");
    let path = folder.file("t.csv");
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let ways = [
        Missing::Refuse,
        Missing::DropRow,
        Missing::Split,
        Missing::Mask,
    ];
    let mut read = 0;
    for round in 0..3000 {
        let mut bytes = start.as_bytes().to_vec();
        for _ in 0..1 + random(4) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = SIGNS[random(SIGNS.len())],
                1 => bytes.insert(at, SIGNS[random(SIGNS.len())]),
                _ => drop(bytes.drain(at..(at + random(9)).min(bytes.len()))),
            }
        }
        fs::write(&path, &bytes).unwrap();
        let options = ReadOptions::new().thousands(',').missing(ways[round % 4]);
        let long = options.clone().id("id").sort("t").column("x", "t:days");
        for options in [options, long] {
            let text = match options.read(&model(), &path) {
                Ok(arrays) => match arrays.batch::<f64>(&model()) {
                    Ok(_) => {
                        read += 1;
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            assert!(text.len() < 2000, "{text}");
        }
        drop(Arrays::read(&path));
    }
    assert!(read > 100, "{read} were read");
}

#[test]
fn fields_that_are_almost_numbers_are_refused_with_advice() {
    for (text, expected) in [
        (
            "x\n2024-01-02\n2024-01-03\n",
            "line 2: `x`: expected a number, found `2024-01-02`; to read dates as numbers: \
             `ReadOptions::column(\"x\", \"x:days\")`",
        ),
        (
            "x\n\u{2212}5\n",
            "found `\u{2212}5`; its minus sign is U+2212, write `-5`",
        ),
    ] {
        let message = refusal(text, &sum(), &ReadOptions::new());
        assert!(message.contains(expected), "{message}");
    }
}
