//! The LSTM cell in five stages, each with its new path lit.

use super::canvas::{Anchor, Canvas, Colour, Pen, Point, pen};

/// The height of the cell line, of the product of input gate and content, of the gates, and of the two buses.
const CELL: f64 = 34.0;
const PRODUCT: f64 = 86.0;
const GATES: f64 = 140.0;
const FED_BACK: f64 = 182.0;
const INPUT: f64 = 222.0;

/// The places of the gates from left to right.
const F: f64 = 92.0;
const I: f64 = 148.0;
const G: f64 = 216.0;
const O: f64 = 274.0;
/// The place at which the cell is read.
const READ: f64 = 326.0;
/// The middle between input gate and content.
const WRITE: f64 = f64::midpoint(I, G);
const LEFT: f64 = 46.0;
const RIGHT: f64 = 356.0;

pub(super) fn picture(stage: usize) -> String {
    let height = if stage == 1 { 2.0 * CELL } else { INPUT + 22.0 };
    let mut canvas = Canvas::new("The cell of an LSTM", 388.0, height);
    let of = |part: usize| -> Pen {
        if part == stage {
            pen(Colour::Orange, 3.0)
        } else {
            pen(Colour::Ink, 1.3)
        }
    };
    let shape = |part: usize| Pen {
        width: if part == stage { 2.4 } else { 1.3 },
        ..of(part)
    };
    let has = |part: usize| stage >= part;
    let name = |canvas: &mut Canvas, at: Point, formula: &str, anchor| {
        canvas.text((at.0, at.1 + 5.0), formula, anchor, Colour::Ink);
    };
    // The carousel.
    let mut stops = vec![LEFT];
    stops.extend(has(3).then_some(F));
    stops.extend(has(2).then_some(WRITE));
    for (i, from) in stops.iter().enumerate() {
        let (start, end) = match stops.get(i + 1) {
            Some(to) => (*from, to - 10.0),
            None => (*from, RIGHT),
        };
        canvas.arrow(&[(start, CELL), (end, CELL)], of(1));
    }
    name(&mut canvas, (LEFT - 6.0, CELL), "c_{t−1}", Anchor::End);
    name(&mut canvas, (RIGHT + 6.0, CELL), "c_{t}", Anchor::Start);
    if has(2) {
        name(&mut canvas, (LEFT - 6.0, INPUT), "x_{t}", Anchor::End);
        buses(&mut canvas, stage, of);
        // Write.
        canvas.arrow(
            &[(I, GATES - 13.0), (I, PRODUCT), (WRITE - 10.0, PRODUCT)],
            of(2),
        );
        canvas.arrow(
            &[(G, GATES - 13.0), (G, PRODUCT), (WRITE + 10.0, PRODUCT)],
            of(2),
        );
        canvas.arrow(&[(WRITE, PRODUCT - 9.0), (WRITE, CELL + 10.0)], of(2));
        canvas.operation((WRITE, PRODUCT), '×', shape(2));
        canvas.operation((WRITE, CELL), '+', shape(2));
        canvas.boxed((I, GATES), "i: σ", 20.0, shape(2));
        canvas.boxed((G, GATES), "g: tanh", 30.0, shape(2));
    }
    if has(3) {
        canvas.arrow(&[(F, GATES - 13.0), (F, CELL + 10.0)], of(3));
        canvas.operation((F, CELL), '×', shape(3));
        canvas.boxed((F, GATES), "f: σ", 20.0, shape(3));
    }
    if has(4) {
        let tanh = PRODUCT;
        canvas.arrow(&[(READ, CELL), (READ, tanh - 14.0)], of(4));
        canvas.joint((READ, CELL), of(4).colour);
        canvas.arrow(&[(READ, tanh + 13.0), (READ, GATES - 10.0)], of(4));
        canvas.arrow(&[(O + 20.0, GATES), (READ - 10.0, GATES)], of(4));
        canvas.arrow(&[(READ + 9.0, GATES), (RIGHT, GATES)], of(4));
        canvas.boxed((READ, tanh), "tanh", 21.0, shape(4));
        canvas.operation((READ, GATES), '×', shape(4));
        canvas.boxed((O, GATES), "o: σ", 20.0, shape(4));
        name(&mut canvas, (RIGHT + 6.0, GATES), "h_{t}", Anchor::Start);
    }
    canvas.finish()
}

/// The gates of a stage, each with the stage that adds it.
fn gates(stage: usize) -> impl Iterator<Item = (f64, usize)> {
    let all = [(F, 3), (I, 2), (G, 2), (O, 4)];
    all.into_iter().filter(move |(_, from)| stage >= *from)
}

/// The lines from the input to the gates, and from the previous state.
fn buses(canvas: &mut Canvas, stage: usize, of: impl Fn(usize) -> Pen) {
    let lit = |part: usize| part == stage;
    // Of the line of the input, the part to the new gates is lit.
    let last = gates(stage).map(|(x, _)| x).fold(LEFT, f64::max);
    canvas.line(&[(LEFT, INPUT), (last, INPUT)], of(0));
    let new = gates(stage).filter(|(_, from)| lit(*from)).map(|(x, _)| x);
    let new = new.fold(LEFT, f64::max);
    if new > LEFT {
        canvas.line(&[(LEFT, INPUT), (new, INPUT)], of(stage));
    }
    for (x, from) in gates(stage) {
        canvas.arrow(
            &[(x, INPUT), (x, GATES + 14.0)],
            of(if lit(from) { stage } else { 0 }),
        );
    }
    if stage == 5 {
        canvas.line(&[(LEFT, FED_BACK), (last, FED_BACK)], of(5));
        for (x, _) in gates(stage) {
            canvas.joint((x, FED_BACK), of(5).colour);
            canvas.arrow(&[(x, FED_BACK), (x, GATES + 14.0)], of(5));
        }
        canvas.text(
            (LEFT - 6.0, FED_BACK + 5.0),
            "h_{t−1}",
            Anchor::End,
            of(5).colour,
        );
    }
}
