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

/// The cells of a line of a table.
fn entries(line: &str) -> Vec<&str> {
    let inner = line.trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(str::trim).collect()
}

/// The page that `benches/peers/laws/run` writes: every row has a mark for each law, every law is explained, and a law
/// that does not hold has its part at the end.
#[test]
fn the_page_on_other_libraries_is_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/other-libraries.md")).unwrap();
    assert!(page.contains("    benches/peers/laws/run  "));
    assert!(root.join("benches/peers/laws/run").exists());
    let tables: Vec<Vec<&str>> = page
        .split("\n\n")
        .map(|part| part.lines().filter(|l| l.starts_with('|')).collect())
        .filter(|table: &Vec<&str>| !table.is_empty())
        .collect();
    for table in &tables {
        let columns = entries(table[0]).len();
        assert!(table.iter().all(|line| entries(line).len() == columns));
    }
    let summary = &tables[0];
    let laws = &entries(summary[0])[3..];
    for law in laws {
        assert!(page.contains(&format!("- **{law}**: ")), "{law}");
    }
    let failures = page.split("## Where a law does not hold").nth(1).unwrap();
    assert!(summary.len() > 10, "the libraries are there");
    for row in &summary[2..] {
        let (names, marks) = entries(row)
            .split_at_checked(3)
            .map(|(a, b)| (a.to_vec(), b.to_vec()))
            .unwrap();
        assert!(page.contains(&format!("\n## {}\n", names[0])), "{row}");
        for (law, mark) in laws.iter().zip(marks) {
            assert!(mark.starts_with(['✓', '✗', '–']), "{row}");
            let part = format!("### {}: {law}\n", names[0]);
            assert!(!mark.contains('✗') || failures.contains(&part), "{part}");
        }
    }
}
