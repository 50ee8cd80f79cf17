//! What README.md and ARCHITECTURE.md say is so.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use separator::settings;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// What stands between backticks, outside of blocks of code.
fn quoted(text: &str) -> BTreeSet<&str> {
    let outside = text.split("```").step_by(2);
    outside
        .flat_map(|part| part.split('`').skip(1).step_by(2))
        .collect()
}

/// The addresses that links and pictures name.
fn linked(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .collect()
}

#[test]
fn the_readme_has_all_settings_as_they_are() {
    let mut table = String::from("| variable | key | default | meaning |\n|---|---|---|---|\n");
    for doc in settings::reference() {
        let settings::SettingDoc {
            variable,
            key,
            default,
            meaning,
        } = doc;
        writeln!(table, "| `{variable}` | `{key}` | {default} | {meaning} |").unwrap();
    }
    assert!(
        text("README.md").contains(&table),
        "README.md needs this table:\n\n{table}"
    );
}

#[test]
fn what_the_documents_link_to_exists() {
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = text(document);
        let headings: BTreeSet<String> = text
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| {
                line.trim_start_matches(['#', ' '])
                    .to_lowercase()
                    .replace(' ', "-")
            })
            .collect();
        for link in linked(&text) {
            if link.starts_with("https://") {
                continue;
            }
            let exists = match link.strip_prefix('#') {
                Some(heading) => headings.contains(heading),
                None => root().join(link).is_file(),
            };
            assert!(exists, "{document} links to {link}");
        }
    }
}

#[test]
fn the_files_and_folders_that_the_architecture_names_exist() {
    let text = text("ARCHITECTURE.md");
    let names: Vec<&str> = quoted(&text)
        .into_iter()
        .filter(|name| {
            let source = [".rs", ".sql", ".md", ".toml", "/"]
                .iter()
                .any(|end| name.ends_with(end));
            source && !name.contains([' ', '<', '{']) && !name.starts_with('/')
        })
        .collect();
    assert!(names.len() > 30, "only {} names were found", names.len());
    for name in names {
        let places =
            ["", "crates/separator/src/", "crates/"].map(|folder| root().join(folder).join(name));
        assert!(
            places.iter().any(|place| place.exists()),
            "ARCHITECTURE.md names {name}"
        );
    }
}

/// The sources in a folder and below it.
fn sources(folder: &Path) -> String {
    let mut found = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found += &sources(&path);
        } else {
            found += &std::fs::read_to_string(&path).unwrap();
        }
    }
    found
}

#[test]
fn the_steps_of_journeys_that_the_architecture_explains_are_written_somewhere() {
    let sources = sources(&root().join("crates/separator/src"));
    let architecture = text("ARCHITECTURE.md");
    let section = architecture
        .split("## The words of a journey")
        .nth(1)
        .unwrap();
    let table = section.split("\n## ").next().unwrap();
    let steps: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(steps.len() > 15, "only {steps:?}");
    for step in steps {
        assert!(
            sources.contains(&format!("\"{step}\"")),
            "nothing writes the step {step}"
        );
    }
}
