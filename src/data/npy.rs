//! One array in NumPy's `.npy` format: a header, which is a Python dictionary literal, then the entries. See
//! `numpy.lib.format`.

use super::Arrays;
use super::array::Array;
use super::entries::{Entries, Type};
use super::file::{Format, Request};
use crate::error::counted;

const MAGIC: &[u8] = b"\x93NUMPY";
/// A generous limit on the length of a header.
const LONGEST_HEADER: usize = 1 << 16;
/// A limit on the number of axes; arrays of a recurrence have at most four: step, sample, row, column.
pub(super) const MOST_AXES: usize = 8;

/// An array in a file of its own, whose name is that of the file.
pub(super) const FORMAT: Format = Format {
    extensions: &["npy"],
    begins: |bytes| match bytes.starts_with(MAGIC) {
        true => Ok(()),
        false => Err("is not a .npy array".into()),
    },
    memory: |bytes| {
        let header = Header::read(bytes).ok();
        let memory = header.and_then(|header| header.memory(header.ty().ok()?).ok());
        let memory = usize::try_from(memory.unwrap_or(0)).ok();
        bytes.len().checked_add(memory?)
    },
    read,
    write: None,
};

fn read(bytes: &[u8], request: &Request<'_>) -> Result<Arrays, String> {
    let (name, mut arrays) = (request.stem, Arrays::new());
    if !request.wants(name) {
        arrays.unused.push(name.into());
        return Ok(arrays);
    }
    let of = |reason: String| format!("array `{name}` {reason}");
    let header = Header::read(bytes).map_err(of)?;
    let array = match header.ty() {
        Ok(ty) => header.entries(ty, bytes).map_err(of)?.array(ty),
        Err(reason) => Err(reason),
    };
    arrays.insert_read(name, array.map_err(of));
    Ok(arrays)
}

/// A parsed header.
#[derive(Debug)]
pub(super) struct Header {
    descr: String,
    shape: Vec<usize>,
    is_fortran: bool,
    /// The offset of the entries.
    start: usize,
}

impl Header {
    /// Parses the header at the start of `bytes`, which may end after the header.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let truncated = || "is cut off in its header".to_owned();
        let rest = bytes.strip_prefix(MAGIC).ok_or("is not a .npy array")?;
        let (size, before) = match rest.first().ok_or_else(truncated)? {
            1 => (2, 10),
            2 | 3 => (4, 12),
            version => {
                return Err(format!(
                    "has version {version} of the .npy format, expected 1 to 3"
                ));
            }
        };
        let length = rest.get(2..2 + size).ok_or_else(truncated)?;
        let length = length
            .iter()
            .rev()
            .fold(0, |n, byte| (n << 8) | usize::from(*byte));
        if length > LONGEST_HEADER {
            return Err(format!("has a header of {length} bytes, which is too long"));
        }
        let text = bytes.get(before..before + length).ok_or_else(truncated)?;
        let text = std::str::from_utf8(text).map_err(|_| "has a header that is not text")?;
        let mut header =
            Self::parse(text).map_err(|wrong| format!("{wrong}: {}", text.trim_end()))?;
        header.start = before + length;
        Ok(header)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut literal = Literal { rest: text };
        let (mut descr, mut order, mut shape) = (None, None, None);
        if !literal.eat('{') {
            return Err("has a header without `descr`, `fortran_order` and `shape`".into());
        }
        while !literal.eat('}') {
            let key = literal.quoted()?;
            literal.expect(':')?;
            let twice = match key {
                // A list describes an array of records.
                "descr" if literal.eat('[') => descr.replace(literal.list()?).is_some(),
                "descr" => descr.replace(literal.quoted()?).is_some(),
                "fortran_order" => order.replace(literal.truth()?).is_some(),
                "shape" => shape.replace(literal.sizes()?).is_some(),
                key => {
                    let known = "expected `descr`, `fortran_order` and `shape`";
                    return Err(format!("has a header with the key `{key}`, {known}"));
                }
            };
            if twice {
                return Err(format!("has a header without one `{key}`"));
            }
            if !literal.eat(',') {
                literal.expect('}')?;
                break;
            }
        }
        if !literal.rest.trim().is_empty() {
            return Err("has a header that goes on after its dictionary".into());
        }
        let missing = |key: &str| format!("has a header without `{key}`");
        let descr: &str = descr.ok_or_else(|| missing("descr"))?;
        Ok(Self {
            descr: descr.into(),
            is_fortran: order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
            start: 0,
        })
    }

    /// The type of the entries, or the reason why it cannot be read.
    pub(super) fn ty(&self) -> Result<Type, String> {
        let descr = &*self.descr;
        let kind = descr.strip_prefix(['<', '>', '=', '|']).unwrap_or(descr);
        Ok(match kind {
            "f2" => Type::F16,
            // NumPy has no such type; `ml_dtypes.bfloat16` is saved as two bytes without one.
            "V2" => Type::Bf16,
            "f4" => Type::F32,
            "f8" => Type::F64,
            "i1" => Type::I8,
            "i2" => Type::I16,
            "i4" => Type::I32,
            "i8" => Type::I64,
            "u1" => Type::U8,
            "u2" => Type::U16,
            "u4" => Type::U32,
            "u8" => Type::U64,
            "b1" => Type::Bool,
            _ => {
                let cure = match kind.chars().next() {
                    Some('U' | 'S') => {
                        "number the texts with `np.unique(array, return_inverse=True)[1]`"
                    }
                    Some('c') => "save `array.real` and `array.imag` as two arrays",
                    Some('M' | 'm') => "save it with `array.astype(np.int64)`",
                    Some('r') => "save each field as an array, such as `x=array[\"x\"]`",
                    _ => "save it with `array.astype(np.float64)`",
                };
                return Err(format!(
                    "has entries of type `{}`, expected numbers or booleans; {cure}",
                    self.descr
                ));
            }
        })
    }

    /// The size of the whole array in bytes, including the header.
    pub(super) fn bytes(&self, ty: Type) -> Result<u64, String> {
        if self.shape.len() > MOST_AXES {
            return Err(format!(
                "has {} axes, expected at most {MOST_AXES}",
                self.shape.len()
            ));
        }
        let entries = self
            .shape
            .iter()
            .try_fold(ty.width(), |n, size| n.checked_mul(*size));
        let all = entries.and_then(|n| n.checked_add(self.start));
        let all = all.filter(|n| isize::try_from(*n).is_ok());
        let all = all.ok_or_else(|| format!("has shape {:?}, which is too large", self.shape))?;
        Ok(all as u64)
    }

    /// The most bytes of memory that reading the array takes.
    pub(super) fn memory(&self, ty: Type) -> Result<u64, String> {
        let bytes = self.bytes(ty)?;
        let entries = (bytes - self.start as u64) / ty.width() as u64;
        Ok(bytes.max(entries.saturating_mul(ty.memory() as u64)))
    }

    /// The message for an array of another number of bytes.
    pub(super) fn other_length(&self, found: usize, expected: u64) -> String {
        format!(
            "has {}, expected {expected} for shape {:?} of `{}`",
            counted(found, "byte"),
            self.shape,
            self.descr
        )
    }

    /// The entries, from all bytes of the array.
    pub(super) fn entries<'b>(&'b self, ty: Type, bytes: &'b [u8]) -> Result<Entries<'b>, String> {
        let expected = self.bytes(ty)?;
        if bytes.len() as u64 != expected {
            return Err(self.other_length(bytes.len(), expected));
        }
        Ok(Entries {
            shape: &self.shape,
            bytes: &bytes[self.start..],
            is_big_endian: self.descr.starts_with('>'),
            is_fortran: self.is_fortran,
        })
    }
}

/// The remaining text of a Python literal.
struct Literal<'t> {
    rest: &'t str,
}

impl<'t> Literal<'t> {
    fn eat(&mut self, sign: char) -> bool {
        let rest = self.rest.trim_start();
        self.rest = rest.strip_prefix(sign).unwrap_or(rest);
        self.rest.len() < rest.len()
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        match self.eat(sign) {
            true => Ok(()),
            false => Err(format!(
                "has a header with {} where `{sign}` is expected",
                self.found()
            )),
        }
    }

    /// The next character, for an error message.
    fn found(&self) -> String {
        match self.rest.trim_start().chars().next() {
            Some(sign) => format!("`{sign}`"),
            None => "an end".into(),
        }
    }

    fn quoted(&mut self) -> Result<&'t str, String> {
        let quote = match self.eat('"') {
            true => '"',
            false => {
                self.expect('\'')?;
                '\''
            }
        };
        let (text, rest) = self
            .rest
            .split_once(quote)
            .ok_or("has a header with an open quote")?;
        self.rest = rest;
        Ok(text)
    }

    /// Skips the rest of a list, after its opening bracket.
    fn list(&mut self) -> Result<&'static str, String> {
        let mut depth = 1;
        while depth > 0 {
            match self.rest.trim_start().chars().next() {
                Some('\'' | '"') => drop(self.quoted()?),
                Some(sign) => {
                    self.eat(sign);
                    match sign {
                        '[' => depth += 1,
                        ']' => depth -= 1,
                        _ => {}
                    }
                }
                None => return Err("has a header with an open bracket".into()),
            }
        }
        Ok("records")
    }

    fn word(&mut self) -> &'t str {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !c.is_alphanumeric());
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        self.rest = rest;
        word
    }

    fn truth(&mut self) -> Result<bool, String> {
        match self.word() {
            "False" => Ok(false),
            "True" => Ok(true),
            _ => Err("has a header whose `fortran_order` is neither `True` nor `False`".into()),
        }
    }

    /// `()`, `(3,)` or `(3, 4)`.
    fn sizes(&mut self) -> Result<Vec<usize>, String> {
        let wrong = || "has a header without sizes in `shape`, such as `(3, 4)`".to_owned();
        if !self.eat('(') {
            return Err("has a header without `shape`, such as `(3, 4)`".into());
        }
        let mut sizes = Vec::new();
        while !self.eat(')') {
            let word = self.word();
            let digits = word.chars().all(|c| c.is_ascii_digit());
            let size = word.parse().ok().filter(|_| digits);
            sizes.push(size.ok_or_else(wrong)?);
            if !self.eat(',') {
                self.expect(')')?;
                // A number in brackets without a comma is not a tuple.
                if sizes.len() == 1 {
                    return Err(wrong());
                }
                break;
            }
        }
        Ok(sizes)
    }
}

/// The bytes of the entries, in C order and little-endian.
pub(super) fn entries(array: &Array) -> Vec<u8> {
    match array {
        Array::F32(a) => a.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Array::F64(a) => a.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Array::Int(a) => a.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Array::Bool(a) => a.iter().map(|x| u8::from(*x)).collect(),
    }
}

/// The header of an array in NumPy's layout, padded so that the entries start at a multiple of 64.
pub(super) fn header(array: &Array) -> Vec<u8> {
    let descr = match array {
        Array::F32(_) => "<f4",
        Array::F64(_) => "<f8",
        Array::Int(_) => "<i8",
        Array::Bool(_) => "|b1",
    };
    let sizes: String = array.shape().iter().map(|n| format!("{n}, ")).collect();
    let shape = match array.shape().len() {
        0 | 1 => sizes.trim_end(),
        _ => sizes.trim_end_matches(", "),
    };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = MAGIC.len() + 4;
    let length = (before + text.len() + 1).next_multiple_of(64) - before;
    text = format!("{text:<width$}\n", width = length - 1);
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    // The length fits two bytes, with at most eight axes of at most twenty digits.
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}
