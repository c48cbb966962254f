//! Tables in text form: separators, quotation marks, ends of lines, missing values and columns of text.

use std::fs;

use crate::support::folder::Folder;
use bptt::Recurrence;
use bptt::data::{Array, Arrays};
use ndarray::{Array2, array};

fn read(text: &str) -> Result<Arrays, String> {
    let folder = Folder::new(&format!(
        "table-{:x}",
        text.len() * 31 + text.bytes().map(usize::from).sum::<usize>()
    ));
    let path = folder.file("t.CSV");
    fs::write(&path, text).unwrap();
    let found = Arrays::read(&path).map_err(|e| e.to_string());
    if let Err(message) = &found {
        assert!(message.contains("t.CSV"), "{message}");
    }
    found
}

/// The columns `x` and `y`.
fn columns(text: &str) -> [Array2<f64>; 2] {
    let found = read(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
    ["x", "y"].map(|name| {
        let array = found
            .get(name)
            .unwrap_or_else(|| panic!("{text:?} has no {name}"));
        array.real().into_dimensionality().unwrap()
    })
}

#[test]
fn of_many_spellings() {
    for text in [
        "x,y\n1,2\n3,4\n",
        "x;y\n1;2\n3;4\n",
        "sep=;\nx;y\n1;2\n3;4\n",
        "\u{feff}sep=,\r\nx,y\r\n1,2\r\n3,4\r\n",
        "sep=|\r# a | b\rx|y\r1|2\r3|4\r",
        "x\ty\n1\t2\n3\t4\n",
        "x,y\r\n1,2\r\n3,4\r\n",
        "x,y\r1,2\r3,4\r",
        "x,y\n1,2\n3,4",
        "\u{feff}x,y\n1,2\n3,4\n\n  \n\r\n",
        "\n\nx,y\n1,2\n3,4\n",
        "\"x\" , \"y\"\n\"1\",2\n3,\" 4 \"\n",
        "x,y,\"a \"\"b\"\", c\"\n1,2,\"two\nlines, one field\"\n3,4,\n",
        "name,x,y\nMonday,1,2\nTuesday,3,4\n",
        "name;x;y\n1,5;1;2\n2,5;3;4\n",
        ",x,y\n0,1,2\n1,3,4\n",
        "\"\",\"x\",\"y\"\n\"a\",1,2\n\"b\",3,4\n",
        "x,y,\n1,2,\n3,4,\n",
        "price [EUR],x,y,nan\n1,1,2,\n2,3,4,\n",
        "x;y;;\n1;2;;\n3;4;;\n",
        "x|y\n1|2\n3|4\n",
        "x,y\n1,2\n\n3,4\n",
        "# made by hand\nx,y\n1,2\n# the second half\n3,4\n",
        "rain (mm, mean);x;y\n1,5;1;2\n2,5;3;4\n",
    ] {
        let [x, y] = columns(text);
        assert_eq!(
            (x, y),
            (array![[1.0], [3.0]], array![[2.0], [4.0]]),
            "{text:?}"
        );
    }
}

/// Tables from spreadsheets of other times and places.
#[test]
fn of_many_encodings() {
    let folder = Folder::new("table-encodings");
    let text = "x;y;Größe\n1;2;\u{20ac}\n3;4;\n";
    let wide = |of: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(of).collect::<Vec<u8>>();
    let latin = b"x;y;Gr\xf6\xdfe\n1;2;\x80\n3;4;\n".to_vec();
    for (bytes, notes) in [
        (text.as_bytes().to_vec(), 0),
        (wide(u16::to_le_bytes), 0),
        (wide(u16::to_be_bytes), 0),
        ([&[0xff, 0xfe], &wide(u16::to_le_bytes)[..]].concat(), 0),
        ([&[0xfe, 0xff], &wide(u16::to_be_bytes)[..]].concat(), 0),
        (latin, 1),
    ] {
        fs::write(folder.file("t.csv"), &bytes).unwrap();
        let found = Arrays::read(folder.file("t.csv")).unwrap();
        let y = array![[2.0], [4.0]].into_dyn();
        assert_eq!(found.get("y"), Some(&Array::F64(y)), "{bytes:?}");
        assert!(
            found.refused().any(|(name, _)| name == "Größe"),
            "{bytes:?}"
        );
        assert_eq!(found.notes().count(), notes, "{bytes:?}");
    }
}

#[test]
fn of_vectors() {
    let found = read("x [0], x[ 1 ]\n1,2\n").unwrap();
    assert_eq!(
        found.get("x"),
        Some(&Array::F64(array![[[1.0, 2.0]]].into_dyn()))
    );
    let found = read("\"A[0,1]\",\"A[0,0]\",\"A[1,0]\",\"A[1,1]\"\n1,2,3,4\n").unwrap();
    let a = array![[[[2.0, 1.0], [3.0, 4.0]]]].into_dyn();
    assert_eq!(found.get("A"), Some(&Array::F64(a)));
}

#[test]
fn of_missing_values() {
    for missing in ["", "NA", "na", "NaN", "null", "?", ".", "N/A", "\"\"", " "] {
        let [x, y] = columns(&format!("x,y\n1,{missing}\n3,4\n"));
        assert_eq!(x, array![[1.0], [3.0]]);
        assert!(y[[0, 0]].is_nan() && y[[1, 0]] == 4.0, "{missing}");
    }
}

#[test]
fn of_other_columns() {
    let sum = Recurrence::parse("sum.rec", "input x\nparam a\nloss a * x\n").unwrap();
    for (field, expected) in [
        (
            "ten",
            "line 3: `x`: expected a number, found `ten`; a missing value is an empty field, or `NA`",
        ),
        (
            "\"1,5\"",
            "line 3: `x`: expected a number, found `1,5`; with a decimal comma: `ReadOptions::decimal(',')`",
        ),
        (
            "\"1,234\"",
            "with a decimal comma: `ReadOptions::decimal(',')`; with separators of thousands: \
             `ReadOptions::thousands(',')`",
        ),
        ("True", "found `True`; write `1`"),
        ("1e400", "line 3: `x`: `1e400` is beyond the range of f64"),
        ("-1e999", "`-1e999` is beyond the range of f64"),
    ] {
        let found = read(&format!("x,y\n1,2\n{field},4\n")).unwrap();
        assert_eq!(
            found.get("y"),
            Some(&Array::F64(array![[2.0], [4.0]].into_dyn()))
        );
        assert_eq!(found.refused().count(), 1, "{field}");
        let message = found.batch::<f64>(&sum).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let found = read("x,y\n1,2\n1e-400,inf\n").unwrap();
    assert_eq!(
        found.get("x"),
        Some(&Array::F64(array![[1.0], [0.0]].into_dyn()))
    );
    let lengths = read("x,lengths\n1,2\n3,2\n").unwrap();
    let message = lengths.batch::<f64>(&sum).unwrap_err().to_string();
    assert!(
        message.contains("a .csv file is one sequence without `lengths`"),
        "{message}"
    );
}

#[test]
fn of_wrong_tables() {
    for (text, expected) in [
        ("", "is empty, expected a row of names"),
        ("\n \n", "is empty, expected a row of names"),
        ("x,y\n", "no row of numbers, so no steps (T = 0)"),
        ("x,y\n\n\n", "no row of numbers, so no steps (T = 0)"),
        (
            "x\n1\n\n3\n",
            "line 3 is empty, expected a row; remove it, or write `NA`",
        ),
        (
            "x,y\n1,\"2\n3,4\n",
            "line 2: a quotation mark is not closed",
        ),
        (
            "x,y\n\"1\" 2,3\n",
            "line 2: expected `,` or the end of the line after the field `\"1\"`",
        ),
        (
            "x,y\n1,5,2,5\n",
            "line 2: expected 2 fields, found 4; a number has a decimal point, as in `1.5`, a text with commas is in",
        ),
        (
            "x;y\n1\n",
            "line 2: expected 2 fields, found 1; a missing value is an empty field",
        ),
        (
            "x,y,x\n1,2,3\n",
            "columns 1 and 3 are both named `x`; rename or remove one of them in the first line",
        ),
        ("a,\"b\nc\",d\n1,2\n", "line 3: expected 3 fields, found 2"),
        (
            "x,,y\n1,2,3\n",
            "line 2: column 2 has the field `2` and no name; name it in the first line, or remove it",
        ),
        (",\n0,1\n", "no column has a name"),
        (
            "x,y\n1,2,\n3,4,\n",
            "line 2: expected 2 fields, found 3; remove the separator at the end of the line",
        ),
        ("sep=x\nx;y\n1;2\n", "`sep=…` declares no separator"),
        ("sep=;x;y\n1;2;3\n", "`sep=…` declares no separator"),
        (
            "# x,y\n1,2\n",
            "found `1`, `2`; a line that begins with `#` is a comment: remove the `#` of a row of names",
        ),
        (
            "x y\n1 2\n",
            "the row of names `x y` has no `,`, `;`, `|` or tab between the names",
        ),
        (
            "1,2\n3,4\n",
            "expected a row of names first, such as `y,x[0],x[1]`, found `1`, `2`",
        ),
    ] {
        let message = read(text).unwrap_err();
        assert!(message.contains(expected), "{text:?}: {message}");
    }
    let folder = Folder::new("table-bytes");
    for (bytes, expected) in [
        (&b"\xff\xfex"[..], "is damaged text in UTF-16"),
        (&b"\xff\xfe\x00\xd8x\x00"[..], "is damaged text in UTF-16"),
        (
            &b"PK\x03\x00\xff"[..],
            "byte 3 is zero; save it as `CSV UTF-8`",
        ),
    ] {
        fs::write(folder.file("t.csv"), bytes).unwrap();
        let message = Arrays::read(folder.file("t.csv")).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
