//! Every mistake in a definition comes back as `Error::Definition`, in words, with its line.

use bptt::{Definition, Error, Mistake, Rate, Recurrence, Wrt};

/// The mistakes of a definition.
fn mistakes(f: impl FnOnce(&Definition)) -> Vec<Mistake> {
    match Recurrence::define("wrong", f) {
        Err(Error::Definition { mistakes, .. }) => mistakes,
        Err(other) => panic!("expected a definition error, found {other}"),
        Ok(r) => panic!("this was accepted:\n{r}"),
    }
}

/// Checks that some mistake says all the words, and points at a line of this file.
#[track_caller]
fn refused(words: &[&str], f: impl FnOnce(&Definition)) {
    let found = mistakes(f);
    let fits = |m: &&Mistake| words.iter().all(|w| m.message.contains(w));
    let m = found
        .iter()
        .find(fits)
        .unwrap_or_else(|| panic!("{words:?} not in {found:#?}"));
    let (file, line, _) = m.place.clone().unwrap_or_else(|| panic!("no place: {m:?}"));
    assert!(
        file.ends_with("mistakes.rs") && line > 0,
        "the place is {file}:{line}"
    );
    assert!(
        m.to_string().contains(&format!("{file}:{line}")),
        "the text has the place"
    );
}

/// As `refused`, for mistakes found only when the whole is seen, which have no line.
#[track_caller]
fn refused_as_a_whole(words: &[&str], f: impl FnOnce(&Definition)) {
    let found = mistakes(f);
    let fits = |m: &Mistake| words.iter().all(|w| m.message.contains(w));
    assert!(found.iter().any(fits), "{words:?} not in {found:#?}");
}

#[test]
fn shapes_that_do_not_fit() {
    refused(
        &["inner dimensions differ", "`W` is [H, K]", "`v` is [H]"],
        |r| {
            let w = r.param("W", [r.dim("H"), r.dim("K")]);
            r.output("y", w.dot(r.param("v", [r.dim("H")])));
        },
    );
    refused(
        &["shapes differ", "`a + b`", "`a` is [2]", "`b` is [3]"],
        |r| {
            r.output("y", r.param("a", [2]) + r.param("b", [3]));
        },
    );
    refused(&["shapes differ", "[H] static", "[K] static"], |r| {
        r.output("y", r.param("a", [r.dim("H")]) * r.param("b", [r.dim("K")]));
    });
    refused(&["only a matrix", "`a` is [2]"], |r| {
        r.output("y", r.param("a", [2]).t());
    });
    refused(&["defined for a vector", "`a`"], |r| {
        r.output("y", r.param("a", ()).softmax());
    });
    refused(&["slice is not inside", "[3]"], |r| {
        r.output("y", r.param("a", [3]).slice(2, 2));
    });
    refused(&["slice is not inside", "[H]"], |r| {
        r.output("y", r.param("a", [r.dim("H")]).slice(0, 1));
    });
    refused(&["only a vector can be repeated"], |r| {
        r.output("y", r.param("a", [2, 2]).repeat(bptt::Axis::Rows, 3));
    });
    refused(&["too many named dimensions"], |r| {
        let part = |n: &str| r.param(n, [r.dim(&n.to_uppercase())]);
        r.output(
            "y",
            bptt::concat([part("a"), part("b"), part("c"), part("d")]),
        );
    });
    refused(&["more than 3 named dimensions"], |r| {
        let d = r.dim("A") + r.dim("B") + r.dim("C") + r.dim("D");
        r.output("y", r.param("a", [d]));
    });
}

#[test]
fn names() {
    refused(&["`p` is used twice"], |r| {
        r.output("y", r.param("p", ()) + r.param("p", ()));
    });
    refused(&["`p` is used twice"], |r| {
        let p = r.param("p", ());
        let s = r.state("p", ());
        r.output("y", r.next(s, s + p));
    });
    refused(&["`p` is used twice"], |r| {
        r.output("y", r.param("p", ()).tanh().named("p"));
    });
    refused(&["output `y` is declared twice"], |r| {
        let p = r.param("p", ());
        r.output("y", p);
        r.output("y", p.tanh());
    });
    for bad in ["a b", "", "x.dot", "1x"] {
        refused(&["is not a name", &format!("`{bad}`")], |r| {
            r.output("y", r.param(bad, ()));
        });
        refused(&["is not a name"], |r| r.output(bad, r.param("p", ())));
        refused(&["is not a name"], |r| {
            r.output("y", r.param("p", [r.dim(bad)]));
        });
        refused(&["is not a name"], |r| {
            r.output("y", r.param("p", ()).tanh().named(bad));
        });
    }
    refused(&["`loss` is taken"], |r| r.output("loss", r.param("p", ())));
    refused(&["`loss` is taken"], |r| r.output("y", r.param("loss", ())));
}

#[test]
fn states() {
    refused_as_a_whole(&["state `h` has no next value"], |r| {
        r.output("y", r.state("h", [2]));
    });
    refused(&["`h` is given a next value twice"], |r| {
        let h = r.state("h", ());
        r.output("y", r.next(h, h + 1.0));
        r.next(h, h * 2.0);
    });
    refused(&["`next` needs a state", "`p`"], |r| {
        let p = r.param("p", ());
        r.output("y", r.next(p, p));
    });
    refused(&["state `h` is [2]", "`p` is [3]"], |r| {
        let (p, h) = (r.param("p", [3]), r.state("h", [2]));
        r.output("y", r.next(h, p));
    });
    refused(&["state `h`", "varies with the step"], |r| {
        let h = r.state_from("h", r.input("x", ()));
        r.output("y", r.next(h, h));
    });
}

#[test]
fn losses_classes_and_rates() {
    refused(&["a loss must be a scalar", "`p` is [2] static"], |r| {
        r.loss(r.param("p", [2]));
    });
    refused(&["a class is not a number", "`c` is class(3)"], |r| {
        r.output("y", r.class("c", 3) + r.param("p", ()));
    });
    refused(&["output `y` is a class"], |r| {
        r.output("y", r.class("c", 3));
    });
    refused(&["a loss must be a scalar", "class(3)"], |r| {
        r.loss(r.class("c", 3));
    });
    refused(
        &[
            "number of classes is not the size",
            "`p` is [4]",
            "class(3)",
        ],
        |r| {
            r.output("y", r.param("p", [4]).gather(r.class("c", 3)));
        },
    );
    refused(&["must be a class"], |r| {
        r.output("y", r.param("p", [4]).gather(r.param("q", ())));
    });
    refused(&["has a first and a last one", "`p` is [] static"], |r| {
        r.output("y", r.param("p", ()).last());
    });
    refused(&["from a slower rate to a faster"], |r| {
        r.output("y", r.input("x", ()).hold(Rate::Static));
    });
    refused(&["nothing to sum over"], |r| {
        r.output("y", r.param("p", ()).total(Rate::Step));
    });
}

#[test]
fn loops_that_cannot_run() {
    refused_as_a_whole(&["a loop without a delay", "`h`"], |r| {
        let h = r.state("h", ());
        let all = h.total(Rate::Static);
        r.output("y", r.next(h, all + r.input("x", ())));
    });
    refused_as_a_whole(&["both directions of time", "`f`", "`g`"], |r| {
        let (f, g) = (r.state("f", ()), r.backward_state("g", ()));
        r.next(g, g + f);
        r.output("y", r.next(f, f + g));
    });
}

#[test]
fn two_definitions_do_not_mix() {
    let inside = Recurrence::define("outer", |a| {
        let p = a.param("p", ());
        refused(&["another recurrence"], |b| {
            b.output("y", b.param("q", ()) + p);
        });
        refused(&["another recurrence"], |b| b.output("y", p));
        refused(&["another recurrence"], |b| b.loss(p));
        refused(&["another recurrence"], |b| {
            let h = b.state("h", ());
            b.output("y", b.next(h, p));
        });
        a.output("y", p);
    });
    assert!(inside.is_ok(), "the outer definition has no mistake");
}

#[test]
fn all_mistakes_come_at_once_in_order() {
    let error = Recurrence::define("many", |r| {
        let (a, b) = (r.param("a", [2]), r.param("b", [3]));
        let sum = a + b;
        let product = a.dot(b);
        r.loss(sum.sum() + product);
        r.output("z", a.slice(1, 2));
    })
    .expect_err("there are three mistakes");
    let text = error.to_string();
    for word in [
        "`many` has 3 mistakes",
        "1. `a + b`",
        "2. `dot(a, b)`",
        "3. `slice(a, rows, 1, 2)`",
    ] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

fn good() -> Recurrence {
    Recurrence::define("good", |r| {
        let (w, x, c) = (r.param("weight", ()), r.input("x", ()), r.class("c", 2));
        let h = r.state("h", ());
        let h = r.next(h, (w * h + x).tanh());
        r.loss(h * r.param("v", [2]).gather(c));
        r.output("last", h.last());
    })
    .expect("it is sound")
}

#[test]
fn masks() {
    let r = good();
    for taken in ["x", "h", "weight", "a b", "loss"] {
        assert!(
            matches!(r.with_mask(taken), Err(Error::Definition { .. })),
            "{taken}"
        );
        assert!(
            matches!(r.with_resets(taken), Err(Error::Definition { .. })),
            "{taken}"
        );
    }
    // The derivative of a final value contains an impulse.
    let last = Recurrence::define("last", |r| {
        r.final_loss(r.input("x", ()) * r.param("p", ()));
    });
    let g = last
        .and_then(|r| r.gradient(Wrt::Everything))
        .expect("it is sound");
    let text = g.with_mask("m").expect_err("a derivative").to_string();
    assert!(
        text.contains("mask the recurrence, then differentiate"),
        "{text}"
    );
}

#[test]
fn derivatives_that_do_not_exist() {
    let r = good();
    let text = r
        .gradient(&["wieght"])
        .expect_err("no such name")
        .to_string();
    assert!(text.contains("did you mean `weight`"), "{text}");
    let text = r.gradient(&["c"]).expect_err("a class").to_string();
    assert!(text.contains("`c`") && text.contains("class"), "{text}");
    let text = r
        .pullback(&["lats"], Wrt::Parameters)
        .expect_err("no output")
        .to_string();
    assert!(
        text.contains("output") && text.contains("did you mean `last`"),
        "{text}"
    );
    let none = Recurrence::define("none", |r| r.output("y", r.param("p", ()))).expect("sound");
    let error = none
        .gradient(Wrt::Parameters)
        .expect_err("there is no loss");
    assert!(matches!(error, Error::NoLoss { .. }), "{error}");
    assert!(error.to_string().contains("`none` has no loss"), "{error}");
}
