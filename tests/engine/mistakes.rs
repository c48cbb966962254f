//! Every error in a definition is reported by `Error::Definition`, with a message and its source line.

use bptt::{Definition, Error, Mistake, Rate, Recurrence, Wrt};

/// The errors in a definition.
fn mistakes(f: impl FnOnce(&Definition)) -> Vec<Mistake> {
    match Recurrence::define("wrong", f) {
        Err(Error::Definition { mistakes, .. }) => mistakes,
        Err(other) => panic!("expected a definition error, found {other}"),
        Ok(r) => panic!("this was accepted:\n{r}"),
    }
}

/// Checks that an error contains all the words and refers to a line of this file.
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

/// As `refused`, for errors that are found on the finished graph and have no source line.
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
    for bad in ["a b", "", "x.", ".dot", "x.1", "1x"] {
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
    refused(&["`loss` is reserved"], |r| {
        r.output("loss", r.param("p", ()));
    });
    refused(&["`loss` is reserved"], |r| {
        r.output("y", r.param("loss", ()));
    });
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

#[test]
fn dimensions_of_another_recurrence_and_sizes_that_are_none() {
    let outer = Recurrence::define("outer", |a| {
        let far = {
            a.dim("A");
            a.dim("B")
        };
        let words = ["`v`", "dimension belongs to another recurrence"];
        refused(&words, |b| b.output("y", b.param("v", [far])));
        refused(&words, |b| b.output("y", b.input("v", [far])));
        refused(&words, |b| b.output("y", b.class("v", far).spread(())));
        refused(&words, |b| {
            let v = b.state("v", [far]);
            b.output("y", b.next(v, v));
        });
        refused(&["dimension belongs to another recurrence"], |b| {
            b.output("y", b.param("p", ()).spread([far]));
        });
        a.output("y", a.param("p", [far]));
    });
    assert!(outer.is_ok(), "{outer:?}");
    refused(&["`s`", "a size that is too large"], |r| {
        let s = r.state("s", [usize::MAX]);
        r.output("y", r.next(s, s));
    });
    refused(&["`w`", "a size that is too large"], |r| {
        r.output("y", r.param("w", [r.dim("H") * 100_000]));
    });
    refused(&["`w` is [0, 3]", "size 0"], |r| {
        r.output("y", r.param("w", [0, 3]));
    });
    refused(&["`s` is [0]", "size 0"], |r| {
        let s = r.state("s", [0]);
        r.output("y", r.next(s, s));
    });
    refused(&["`c` is class(0)", "size 0"], |r| {
        r.output("y", r.param("p", [2]).gather(r.class("c", 0)));
    });
}

#[test]
fn a_definition_inside_another() {
    let outer = Recurrence::define("outer", |a| {
        let (p, s) = (a.param("p", ()), a.state("s", ()));
        let words = ["another recurrence"];
        refused(&words, |b| b.output("y", b.delay(p)));
        refused(&words, |b| b.output("y", b.advance(p)));
        refused(&words, |b| b.output("y", b.delay_from(b.param("q", ()), p)));
        refused(&words, |b| b.output("y", b.next(s, b.param("q", ()))));
        refused(&words, |b| b.output("y", b.next(s, p)));
        refused(&words, |b| {
            let t = b.state("t", ());
            b.output("y", b.next(t, p));
        });
        refused(&words, |b| {
            let t = b.state_from("t", p);
            b.output("y", b.next(t, t));
        });
        refused(&words, |b| {
            let t = b.backward_state_from("t", p);
            b.output("y", b.next(t, t));
        });
        refused(&words, |b| b.loss(p));
        refused(&words, |b| b.mean_loss(p));
        refused(&words, |b| b.final_loss(p));
        refused(&words, |b| b.mean_final_loss(p));
        a.output("y", a.next(s, s + p));
    });
    let outer = outer.expect("the outer definition has no mistake");
    let text = outer.to_string();
    assert!(text.contains("s' = s + p"), "{text}");
}

#[test]
fn a_foreign_value_is_one_mistake() {
    let outer = Recurrence::define("outer", |a| {
        let p = a.param("p", ());
        let found = mistakes(|b| {
            let t = b.state("t", ());
            b.output("y", b.next(t, p));
        });
        assert_eq!(found.len(), 1, "{found:#?}");
        a.output("y", p);
    });
    assert!(outer.is_ok(), "{outer:?}");
}

#[test]
fn classes_are_not_carried() {
    let words = ["`c` is class(3) step", "expected real numbers"];
    refused(&["state `h`", words[0], words[1]], |r| {
        let h = r.state("h", ());
        r.output("y", r.next(h, r.class("c", 3)) + h);
    });
    refused(&words, |r| r.output("y", r.delay(r.class("c", 3))));
    refused(&words, |r| r.output("y", r.advance(r.class("c", 3))));
    let words = ["`c` is class(3) sample", "expected real numbers"];
    refused(&["state `h`", words[0], words[1]], |r| {
        let h = r.state_from("h", r.sample_class("c", 3));
        r.output("y", r.next(h, h));
    });
    refused(&words, |r| {
        r.output("y", r.delay_from(r.input("x", ()), r.sample_class("c", 3)));
    });
}

#[test]
fn a_name_given_twice_counts_once() {
    let r = good();
    let names = ["h", "weight", "h", "weight"];
    let gradient = r.gradient(&names).expect("it has a loss");
    let found: Vec<_> = gradient.outputs().collect();
    assert_eq!(found, ["loss", "h", "weight"], "in the order asked for");
    let tangent = r.tangent(&["weight", "weight"]).expect("it is real");
    let found: Vec<_> = tangent.parameters().collect();
    assert_eq!(found, ["weight", "v", "weight.dot"], "one direction");
}
