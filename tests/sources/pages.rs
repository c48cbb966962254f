//! Markdown pages: links that lead somewhere, and code without the hidden lines of documentation tests.

use std::fs;
use std::path::{Path, PathBuf};

/// Every page in the repository, outside of build folders.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR"))];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 20, "the pages are found");
    found
}

/// The lines of a page, each with the language of the code block around it.
fn lines(page: &str) -> impl Iterator<Item = (Option<&str>, &str)> {
    let mut language = None;
    page.lines().map(move |line| {
        if let Some(rest) = line.strip_prefix("```") {
            language = match language {
                Some(_) => None,
                None => Some(rest),
            };
        }
        (language, line)
    })
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let text: String = heading.to_lowercase().chars().filter(kept).collect();
    text.replace(' ', "-")
}

fn leads_somewhere(page: &Path, link: &str) -> bool {
    let (file, place) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => page.to_owned(),
        file => page.with_file_name("").join(file),
    };
    if !target.exists() {
        return false;
    }
    if place.is_empty() {
        return true;
    }
    let text = fs::read_to_string(target).unwrap();
    let heading = |line: &str| {
        let title = line.trim_start_matches('#');
        title.len() < line.len() && anchor(title.trim()) == place
    };
    let id = format!("id=\"{place}\"");
    lines(&text).any(|(code, line)| code.is_none() && heading(line)) || text.contains(&id)
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (_, line) in lines(&text).filter(|(code, _)| code.is_none()) {
            for rest in line.split("](").skip(1) {
                let link = rest.split([')', ' ']).next().unwrap();
                let foreign = ["http", "mailto"].iter().any(|p| link.starts_with(p));
                if !foreign && !leads_somewhere(&page, link) {
                    wrong.push(format!("{}: {link}", page.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A page shows a line such as `# Ok::<(), Error>(())`, which rustdoc hides.
#[test]
fn no_page_shows_a_hidden_line_of_a_test() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (code, line) in lines(&text) {
            let hidden = code.is_some_and(|c| c.starts_with("rust")) && line.starts_with("# ");
            assert!(!hidden, "{}: {line}", page.display());
        }
    }
}
