//! scratch
use bptt::{Recurrence, Wrt, cells::Cell};
fn main() {
    let r = Recurrence::define("m", |r| {
        let (h, k) = (r.dim("H"), r.dim("K"));
        let x = r.input("x", [k]);
        let w = r.input("w", [h]);
        let cell = if std::env::args().nth(1).as_deref() == Some("lstm") {
            Cell::lstm()
        } else {
            Cell::rnn()
        };
        let out = cell.apply(r, x, h);
        r.loss(out.dot(w));
    })
    .unwrap();
    let p = r
        .gradient(Wrt::Parameters)
        .unwrap()
        .compile::<f64>(&[("H", 2), ("K", 1)])
        .unwrap();
    let plan = p.plan();
    println!("{plan:#?}");
}
