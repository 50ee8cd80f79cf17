//! What was measured, what was wanted, and whether it is so. A bound that is not met is printed as such.

use std::{fmt::Write as _, io::Write as _};

use serde_json::{Value, json};

/// What is wanted of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// Not less than this.
    AtLeast(f64),
    /// Not more than this.
    AtMost(f64),
    /// Nothing; the figure explains another one.
    None,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The benchmark it belongs to.
    pub(crate) name: &'static str,
    /// What was measured.
    pub(crate) what: String,
    /// In what.
    pub(crate) unit: &'static str,
    /// One value a round.
    pub(crate) values: Vec<f64>,
    /// What is wanted.
    pub(crate) bound: Bound,
    /// What went wrong; then the bound is not met, whatever the values.
    pub(crate) wrong: Option<String>,
}

impl Row {
    fn median(&self) -> Option<f64> {
        median(&self.values)
    }

    fn met(&self) -> Option<bool> {
        if self.wrong.is_some() {
            return Some(false);
        }
        let median = self.median();
        match self.bound {
            Bound::None => None,
            Bound::AtLeast(least) => Some(median.is_some_and(|median| median >= least)),
            Bound::AtMost(most) => Some(median.is_some_and(|median| median <= most)),
        }
    }

    fn json(&self, database: &str) -> Value {
        json!({
            "database": database,
            "benchmark": self.name,
            "what": self.what,
            "unit": self.unit,
            "median": self.median(),
            "rounds": self.values,
            "at_least": match self.bound { Bound::AtLeast(value) => Some(value), _ => None },
            "at_most": match self.bound { Bound::AtMost(value) => Some(value), _ => None },
            "met": self.met(),
            "wrong": self.wrong,
        })
    }
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.is_empty() {
        None
    } else if sorted.len().is_multiple_of(2) {
        Some(f64::midpoint(sorted[middle - 1], sorted[middle]))
    } else {
        Some(sorted[middle])
    }
}

/// The value below which so much of all values lies.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(index.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// All that was measured, by database.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<(&'static str, Row)>,
}

impl Report {
    /// Takes rows and shows them at once: a run takes minutes.
    pub(crate) fn add(&mut self, database: &'static str, rows: Vec<Row>) {
        for row in rows {
            say(&line(&row));
            self.rows.push((database, row));
        }
    }

    /// How many bounds were not met.
    pub(crate) fn unmet(&self) -> usize {
        self.rows
            .iter()
            .filter(|(_, row)| row.met() == Some(false))
            .count()
    }

    /// The table as text.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        let mut current = "";
        for (database, row) in &self.rows {
            if *database != current {
                current = database;
                // Writing to a String cannot fail.
                let _ = writeln!(table, "\n{database}");
            }
            let _ = writeln!(table, "{}", line(row));
        }
        table
    }

    /// Everything for other programs.
    pub(crate) fn json(&self, machine: &Value, rounds: usize, quick: bool) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(database, row)| row.json(database))
            .collect();
        json!({ "machine": machine, "rounds": rounds, "quick": quick, "rows": rows })
    }
}

fn line(row: &Row) -> String {
    let shown = row.median().map_or_else(|| "-".to_owned(), figure);
    let wanted = match row.bound {
        Bound::AtLeast(value) => format!("at least {}", figure(value)),
        Bound::AtMost(value) => format!("at most {}", figure(value)),
        Bound::None => String::new(),
    };
    let verdict = match row.met() {
        None => "",
        Some(true) => "met",
        Some(false) => "NOT MET",
    };
    let wrong = row
        .wrong
        .as_ref()
        .map(|wrong| format!("  {wrong}"))
        .unwrap_or_default();
    format!(
        "  {:<9} {:<74} {shown:>9} {:<8} {wanted:<16} {verdict}{wrong}",
        row.name, row.what, row.unit
    )
}

fn figure(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Prints a line.
pub(crate) fn say(text: &str) {
    // Whoever closed the output does not want to read it.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Tells on the error output how far it is.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "… {text}");
}
