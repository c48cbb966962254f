//! The choices with which data files are read for a recurrence.

use indexmap::IndexMap;

/// The treatment of rows of a table with a missing value in a column that is used: an empty field, `NA`, `NaN`,
/// `null`, `?` or `.` (the last two in columns of numbers only), `N/A` or `#N/A`, in upper or lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// The first missing value is an error, with its line and column.
    #[default]
    Refuse,
    /// The rows are left out: the row before is followed by the row after.
    DropRow,
    /// The sequence ends before them, and another begins after them.
    Split,
    /// The rows are steps with a mask of 0: of the mask that the recurrence has, or of one named
    /// [`MASK`](super::MASK), for [`Recurrence::with_mask`](crate::Recurrence::with_mask).
    Mask,
}

/// A name of an input, or of one of its entries, and the column or the array that it is read from.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) target: String,
    pub(super) column: String,
}

/// Choices for reading data files: the columns of the inputs, missing values, samples and signs of numbers.
///
/// Columns of a table, and arrays of a `.npz` or `.safetensors` file, that no input needs are not parsed and may
/// hold anything; [`Arrays::unused`](super::Arrays::unused) lists them.
///
/// ```
/// use bptt::Recurrence;
/// use bptt::data::{Missing, ReadOptions};
/// # let folder = std::env::temp_dir().join(format!("bptt-options-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let sum = Recurrence::parse("sum.rec", "input x\nparam a\nstate s\ns' = s + x\nloss (s' - a)^2\n")?;
/// let file = folder.join("prices.csv");
/// std::fs::write(&file, "Date,Adj Close,Remark\n2024-01-02,1.5,\"a, b\"\n2024-01-03,NA,\n2024-01-04,2,\n")?;
/// let options = ReadOptions::new().column("x", "Adj Close").missing(Missing::DropRow);
/// let arrays = options.read(&sum, &file)?;
/// assert_eq!(arrays.batch::<f64>(&sum)?.steps(), 2);
/// assert!(arrays.unused().eq(["Date", "Remark"]));
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReadOptions {
    pub(super) bindings: Vec<Binding>,
    pub(super) missing: Missing,
    pub(super) id: Option<String>,
    pub(super) sort: Option<String>,
    pub(super) decimal: char,
    pub(super) thousands: Option<char>,
    pub(super) alphabets: IndexMap<String, Vec<String>>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ReadOptions {
    /// Each input is read from the column of its name, and missing values are refused.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bindings: Vec::new(),
            missing: Missing::Refuse,
            id: None,
            sort: None,
            decimal: '.',
            thousands: None,
            alphabets: IndexMap::new(),
        }
    }

    /// Reads an input from the column, or the array, of another name. In a table, `x[0]` is an entry of a vector
    /// and `A[0,1]` one of a matrix; `Date:days` reads dates as numbers of days since the start of 1970 (also
    /// `hours`, `minutes`, `seconds`), and `Grade:class` numbers the different fields of a column.
    #[must_use]
    pub fn column(mut self, input: &str, column: &str) -> Self {
        self.bindings.push(Binding {
            target: input.into(),
            column: column.into(),
        });
        self
    }

    /// The treatment of missing values in the columns that are used.
    #[must_use]
    pub const fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// The rows of a table with the same field in this column are one sample. Samples have the order of their
    /// first rows.
    #[must_use]
    pub fn id(mut self, column: &str) -> Self {
        self.id = Some(column.into());
        self
    }

    /// Sorts the rows of each sample by a column of numbers, dates or texts; equal rows keep their order.
    #[must_use]
    pub fn sort(mut self, column: &str) -> Self {
        self.sort = Some(column.into());
        self
    }

    /// The decimal sign of the numbers in tables, `.` unless it is chosen.
    #[must_use]
    pub const fn decimal(mut self, sign: char) -> Self {
        self.decimal = sign;
        self
    }

    /// The separator of thousands of the numbers in tables; none unless it is chosen.
    #[must_use]
    pub const fn thousands(mut self, sign: char) -> Self {
        self.thousands = Some(sign);
        self
    }

    /// The texts of the classes of an input, in the order of their numbers. Without them, the different texts of a
    /// column are numbered in sorted order.
    #[must_use]
    pub fn alphabet(mut self, input: &str, classes: impl IntoIterator<Item: Into<String>>) -> Self {
        let classes = classes.into_iter().map(Into::into).collect();
        self.alphabets.insert(input.into(), classes);
        self
    }

    /// The bindings of an input, each with the indices of the entry.
    pub(super) fn of<'o>(
        &'o self,
        input: &'o str,
    ) -> impl Iterator<Item = (Vec<usize>, &'o Binding)> {
        self.bindings.iter().filter_map(move |binding| {
            let (base, index) = entry(&binding.target);
            (base == input).then_some((index, binding))
        })
    }
}

/// The name of an array and the indices of an entry: `x`, `x[0]`, `A[0,1]`. Other brackets are part of a name,
/// such as those of a unit.
pub(super) fn entry(text: &str) -> (&str, Vec<usize>) {
    let parts = text.strip_suffix(']').and_then(|n| n.split_once('['));
    let index = parts.and_then(|(base, index)| {
        let digits = |part: &str| {
            let part = part.trim();
            let is_number = part.bytes().all(|b| b.is_ascii_digit());
            part.parse().ok().filter(|_| is_number)
        };
        let index = index
            .split(',')
            .map(digits)
            .collect::<Option<Vec<usize>>>()?;
        (index.len() <= 2).then_some((base.trim(), index))
    });
    index.unwrap_or((text, Vec::new()))
}
