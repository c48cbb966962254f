//! The pictures of the chapter, in `docs/figures`.

mod canvas;
mod cell;
mod curves;
mod truncation;
mod unrolled;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::page;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/figures")
}

/// The name and the text of each picture.
static ALL: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let mut out = vec![
        ("unrolled".into(), unrolled::picture()),
        ("truncation".into(), truncation::picture()),
        ("vanishing".into(), curves::picture()),
    ];
    out.extend((1..=5).map(|stage| (format!("lstm-{stage}"), cell::picture(stage))));
    out
});

#[test]
fn the_figures_are_up_to_date() {
    for (name, wanted) in &*ALL {
        let path = folder().join(format!("{name}.svg"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == *wanted,
            "docs/figures/{name}.svg is stale: UPDATE_GOLDEN=1 cargo test --test chapter"
        );
    }
}

/// A page on a phone is 390 points wide, and shows a picture at its own size or smaller.
#[test]
fn the_figures_stand_alone_and_fit_a_phone() {
    for (name, text) in &*ALL {
        for reference in ["href", "url(", "@import", "<script", "<image"] {
            assert!(!text.contains(reference), "{name}: {reference}");
        }
        let (_, rest) = text.split_once(" width=\"").unwrap();
        let width: f64 = rest.split('"').next().unwrap().parse().unwrap();
        assert!(width <= 400.0, "{name}: {width}");
        assert!(text.contains("prefers-color-scheme:dark"), "{name}");
    }
}

/// Both pages show all pictures in the same order, each with a description.
#[test]
fn the_pages_show_every_figure() {
    let shown = page::LANGUAGES.map(|language| {
        let text = page::text(language);
        let pictures = text.lines().filter_map(|l| l.strip_prefix("!["));
        let pictures = pictures.map(|l| {
            let (description, rest) = l.split_once("](figures/").unwrap();
            assert!(description.chars().count() > 10, "{l}");
            rest.trim_end_matches(".svg)").to_owned()
        });
        pictures.collect::<Vec<_>>()
    });
    assert_eq!(shown[0], shown[1]);
    let mut shown = shown[0].clone();
    let mut drawn: Vec<String> = ALL.iter().map(|(name, _)| name.clone()).collect();
    shown.sort();
    drawn.sort();
    assert_eq!(shown, drawn);
    let files = std::fs::read_dir(folder()).unwrap();
    assert_eq!(files.count(), drawn.len(), "docs/figures");
}
