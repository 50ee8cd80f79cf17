//! Rules of the house that the compiler cannot check.

use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.to_string_lossy().ends_with("tests.rs")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// The part of a source before its tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn translation_does_no_input_or_output_and_knows_no_time() {
    let sources = sources("src/translate");
    assert!(sources.len() > 5, "the translation was not found");
    for (path, text) in sources {
        for banned in [
            "tokio",
            "sqlx",
            "reqwest",
            "async ",
            ".await",
            "std::fs",
            "std::net",
            "SystemTime",
            "Instant",
            "crate::store",
            "crate::app",
            "crate::time",
            "crate::api",
            "crate::deliver",
            "crate::receive",
        ] {
            assert!(
                !product(&text).contains(banned),
                "{} uses {banned}",
                path.display()
            );
        }
    }
}

#[test]
fn the_libraries_know_neither_the_product_nor_each_other() {
    for (folder, banned) in [
        ("../whatsapp/src", ["bitrix24", "separator::"]),
        ("../bitrix24/src", ["whatsapp::", "separator::"]),
        ("../sandbox/src", ["whatsapp::", "bitrix24::"]),
    ] {
        for (path, text) in sources(folder) {
            for name in banned {
                let used = product(&text)
                    .lines()
                    .any(|line| line.trim_start().starts_with("use ") && line.contains(name));
                assert!(!used, "{} uses {name}", path.display());
            }
        }
    }
}

#[test]
fn the_api_writes_no_sql_and_the_doors_translate_nothing() {
    for (path, text) in sources("src/api") {
        for word in ["SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM"] {
            assert!(
                !product(&text).contains(word),
                "{} writes SQL",
                path.display()
            );
        }
    }
    for (path, text) in sources("src/receive") {
        assert!(
            !product(&text).contains("crate::translate"),
            "{} translates",
            path.display()
        );
    }
}

#[test]
fn a_line_is_activated_in_one_place_only() {
    // Activating wipes what connector.data.set wrote: only the publish routine may do it, in its order.
    let places: Vec<PathBuf> = sources("src")
        .into_iter()
        .filter(|(_, text)| {
            product(text).contains("connector::activate(")
                || product(text).contains("imconnector.activate")
        })
        .map(|(path, _)| path)
        .collect();
    assert_eq!(places.len(), 1, "{places:?}");
    assert!(
        places[0].to_string_lossy().contains("publish"),
        "{places:?}"
    );
}

/// The numbers of cases in names of tests such as `case_07_…` and `cases_39_51_52_…`.
fn cases(text: &str, found: &mut std::collections::BTreeSet<u32>) {
    for name in text.split("fn case").skip(1) {
        let name = name.trim_start_matches('s').trim_start_matches('_');
        let name = name.split('(').next().unwrap_or_default();
        let numbers = name.split('_').map_while(|word| word.parse::<u32>().ok());
        found.extend(numbers);
    }
}

#[test]
fn each_of_the_66_cases_of_calls_has_a_test_with_its_number() {
    let mut found = std::collections::BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders = vec![root.join("crates"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default();
            if path.is_dir() && name != "node_modules" && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                cases(&std::fs::read_to_string(&path).unwrap(), &mut found);
            }
        }
    }
    let missing: Vec<u32> = (1..=66).filter(|case| !found.contains(case)).collect();
    assert_eq!(missing, Vec::<u32>::new(), "cases without a test");
}
