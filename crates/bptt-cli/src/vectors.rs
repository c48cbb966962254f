//! `bptt vectors`: writes test vectors for code in any language.

use bptt::data::Arrays;
use bptt_testing::{Cases, Precision, vectors::Vectors};
use serde_json::json;

use crate::args::{self, Dtype};
use crate::report::Report;
use crate::{Failure, cell, progress};

pub(crate) fn run(args: &args::Vectors, report: &mut Report) -> Result<(), Failure> {
    Arrays::can_write(&args.out)?;
    let recurrence = cell::load_with_starts(&args.cell, args.start_inputs, report)?;
    let mut cases = Cases::new(&recurrence).precision(match args.dtype {
        Dtype::F32 => Precision::F32,
        Dtype::F64 => Precision::F64,
    });
    for size in &args.dims {
        cases = cases.size(&size.name, size.size);
    }
    if args.equal_lengths {
        cases = cases.equal_lengths();
    }
    let count = usize::try_from(args.trials)?;
    let busy = progress::busy(report, "test vectors");
    let vectors = Vectors::draw(&cases, count, args.seed, args.layout);
    busy.clear();
    let vectors = vectors?;
    let arrays = vectors.arrays();
    arrays.write(&args.out)?;
    let (layout, dtype) = (args.layout.name(), vectors.precision.name());
    let what = format!(
        "{}, layout {layout}, {dtype}",
        bptt::counted(count, "test vector")
    );
    report.heading(recurrence.name(), &what)?;
    let count = arrays.iter().count();
    report.line(format!("  {}", bptt::counted(count, "array")))?;
    report.field("recurrence", || json!(recurrence.name()));
    report.field("layout", || json!(layout));
    report.field("dtype", || json!(dtype));
    report.field("vectors", || json!(vectors.iter().len()));
    report.field("arrays", || json!(count));
    Ok(report.wrote(&args.out)?)
}
