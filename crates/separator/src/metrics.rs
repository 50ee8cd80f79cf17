//! Counters for `/metrics`, in Prometheus' text form.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

/// All counters of the program. A counter exists from its first count on.
#[derive(Debug, Default)]
pub struct Metrics {
    counters: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Metrics {
    /// Adds to the counter `name` (without prefix) with the label `kind`.
    pub fn add(&self, name: &'static str, kind: &'static str, count: u64) {
        *self
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((name, kind))
            .or_default() += count;
    }

    /// Counts one.
    pub fn count(&self, name: &'static str, kind: &'static str) {
        self.add(name, kind, 1);
    }

    /// What was counted so far.
    pub fn get(&self, name: &'static str, kind: &'static str) -> u64 {
        self.counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(name, kind))
            .copied()
            .unwrap_or_default()
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let mut last = "";
        for ((name, kind), value) in counters.iter() {
            if *name != last {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "# TYPE separator_{name}_total counter");
                last = name;
            }
            let _ = writeln!(text, "separator_{name}_total{{kind=\"{kind}\"}} {value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_rendered_by_name_and_kind() {
        let metrics = Metrics::default();
        metrics.count("doors", "refused");
        metrics.add("doors", "accepted", 2);
        assert_eq!(
            metrics.render(),
            "# TYPE separator_doors_total counter\n\
             separator_doors_total{kind=\"accepted\"} 2\n\
             separator_doors_total{kind=\"refused\"} 1\n"
        );
        assert_eq!(metrics.get("doors", "accepted"), 2);
    }
}
