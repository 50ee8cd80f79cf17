//! Styled text, and how its styles are written with marks.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::Marks;

/// A style of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Style {
    Bold,
    Italic,
    Strike,
    /// No medium here has a mark for it.
    Underline,
}

/// A character with its styles.
#[derive(Debug, Clone, Copy)]
struct Cell {
    character: char,
    bold: bool,
    italic: bool,
    strike: bool,
    /// Which piece of code it belongs to.
    code: Option<u32>,
}

impl Cell {
    fn has(&self, style: Style) -> bool {
        match style {
            Style::Bold => self.bold,
            Style::Italic => self.italic,
            Style::Strike => self.strike,
            Style::Underline => false,
        }
    }
}

/// Text in the making: characters with styles, as tags open and close.
#[derive(Default)]
pub(super) struct Canvas {
    cells: Vec<Cell>,
    bold: u32,
    italic: u32,
    strike: u32,
    codes: u32,
}

impl Canvas {
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn open(&mut self, style: Style) {
        if let Some(depth) = self.depth(style) {
            *depth += 1;
        }
    }

    pub(super) fn close(&mut self, style: Style) {
        if let Some(depth) = self.depth(style) {
            *depth = depth.saturating_sub(1);
        }
    }

    fn depth(&mut self, style: Style) -> Option<&mut u32> {
        match style {
            Style::Bold => Some(&mut self.bold),
            Style::Italic => Some(&mut self.italic),
            Style::Strike => Some(&mut self.strike),
            Style::Underline => None,
        }
    }

    /// Adds text in the styles that are open.
    pub(super) fn text(&mut self, text: &str) {
        let (bold, italic, strike) = (self.bold > 0, self.italic > 0, self.strike > 0);
        self.cells.extend(text.chars().map(|character| Cell {
            character,
            bold,
            italic,
            strike,
            code: None,
        }));
    }

    /// Adds text without styles.
    pub(super) fn bare_text(&mut self, text: &str) {
        self.push_plain(text, None);
    }

    /// Adds a piece of code.
    pub(super) fn code(&mut self, code: &str) {
        self.codes += 1;
        self.push_plain(code.trim_matches('\n'), Some(self.codes));
    }

    fn push_plain(&mut self, text: &str, code: Option<u32>) {
        self.cells.extend(text.chars().map(|character| Cell {
            character,
            bold: false,
            italic: false,
            strike: false,
            code,
        }));
    }

    pub(super) fn ends_in_word(&self) -> bool {
        self.cells
            .last()
            .is_some_and(|cell| cell.character.is_alphanumeric())
    }

    pub(super) fn text_from(&self, start: usize) -> String {
        letters(self.cells.get(start..).unwrap_or_default())
    }

    pub(super) fn cut(&mut self, start: usize) {
        self.cells.truncate(start);
    }

    /// Writes everything, without whitespace at either end.
    pub(super) fn write(&self, marks: &Marks) -> String {
        let mut out = String::new();
        for piece in self.cells.chunk_by(|left, right| left.code == right.code) {
            if piece.first().is_some_and(|cell| cell.code.is_some()) {
                write_code(&mut out, &letters(piece), marks);
            } else {
                write_lines(&mut out, piece, marks);
            }
        }
        out.trim().to_owned()
    }
}

fn letters(cells: &[Cell]) -> String {
    cells.iter().map(|cell| cell.character).collect()
}

fn write_code(out: &mut String, code: &str, marks: &Marks) {
    // A fence inside the code would end it early.
    let fence = if code.trim().is_empty() || (!marks.code.is_empty() && code.contains(marks.code)) {
        ""
    } else {
        marks.code
    };
    out.push_str(fence);
    out.push_str(code);
    out.push_str(fence);
}

fn write_lines(out: &mut String, cells: &[Cell], marks: &Marks) {
    for (index, line) in cells.split(|cell| cell.character == '\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let starts_line = out.is_empty() || out.ends_with('\n');
        let quoted = starts_line
            && line
                .iter()
                .take(2)
                .filter(|cell| cell.character == '>')
                .count()
                == 2;
        let line = if quoted {
            out.push_str(marks.quote);
            let after = line.get(2..).unwrap_or_default();
            let blanks = after
                .iter()
                .take_while(|cell| cell.character == ' ')
                .count();
            after.get(blanks..).unwrap_or_default()
        } else {
            line
        };
        write_line(out, line, marks);
    }
}

/// A stretch of a line, first cell to one past the last, between two marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: usize,
    end: usize,
    mark: &'static str,
}

fn write_line(out: &mut String, cells: &[Cell], marks: &Marks) {
    let runs = nested_runs(cells, marks);
    // Runs are sorted outer first: they open in order and close in reverse, closing before the next opens.
    let mut marks_at: BTreeMap<usize, String> = BTreeMap::new();
    for run in runs.iter().rev() {
        marks_at.entry(run.end).or_default().push_str(run.mark);
    }
    for run in &runs {
        marks_at.entry(run.start).or_default().push_str(run.mark);
    }
    for (place, cell) in cells.iter().enumerate() {
        out.extend(marks_at.get(&place).map(String::as_str));
        out.push(cell.character);
    }
    out.extend(marks_at.get(&cells.len()).map(String::as_str));
}

/// All runs of a line, sorted outer first; one that crosses the end of another is cut there.
fn nested_runs(cells: &[Cell], marks: &Marks) -> Vec<Run> {
    let mut found = Vec::new();
    let styles = [
        (marks.bold, Style::Bold),
        (marks.italic, Style::Italic),
        (marks.strike, Style::Strike),
    ];
    for (mark, style) in styles.into_iter().filter(|(mark, _)| !mark.is_empty()) {
        let mut start = 0;
        for stretch in cells.chunk_by(|left, right| left.has(style) == right.has(style)) {
            let end = start + stretch.len();
            if stretch.first().is_some_and(|cell| cell.has(style)) {
                found.extend(fitted(cells, Run { start, end, mark }));
            }
            start = end;
        }
    }
    found.sort_by(outer_first);
    let mut runs: Vec<Run> = Vec::with_capacity(found.len());
    // Ends of the runs that enclose the present place; the innermost is last and ends first.
    let mut ends: Vec<usize> = Vec::new();
    for mut run in found {
        while ends.last().is_some_and(|end| *end <= run.start) {
            ends.pop();
        }
        run.end = ends.last().map_or(run.end, |end| run.end.min(*end));
        if let Some(run) = fitted(cells, run) {
            ends.push(run.end);
            runs.push(run);
        }
    }
    runs.sort_by(outer_first);
    runs
}

fn outer_first(left: &Run, right: &Run) -> Ordering {
    left.start.cmp(&right.start).then(right.end.cmp(&left.end))
}

/// Draws a run close around its words; `None` where the marks would be shown instead of obeyed.
fn fitted(cells: &[Cell], run: Run) -> Option<Run> {
    let inside = cells.get(run.start..run.end)?;
    let visible = |cell: &Cell| !cell.character.is_whitespace();
    let first = inside.iter().position(visible)?;
    let last = inside.iter().rposition(visible)?;
    let (start, end) = (run.start + first, run.start + last + 1);
    let in_word = |place: Option<usize>| {
        place
            .and_then(|place| cells.get(place))
            .is_some_and(|cell| cell.character.is_alphanumeric())
    };
    if in_word(start.checked_sub(1)) || in_word(Some(end)) {
        return None;
    }
    if letters(&cells[start..end]).contains(run.mark) {
        return None;
    }
    Some(Run { start, end, ..run })
}
