//! Statements: their text, with one placeholder for each cell, and how they come in few shapes, so that the databases
//! keep them prepared.

use std::fmt::Write as _;

use super::Cell;

/// A statement on its way to the database.
#[derive(Debug)]
pub(super) struct Statement {
    /// Placeholders are `$1`, `$2` and so on, one for each cell.
    pub(super) sql: String,
    pub(super) cells: Vec<Cell>,
}

impl Statement {
    pub(super) fn new(sql: impl Into<String>, cells: impl Into<Vec<Cell>>) -> Self {
        Self {
            sql: sql.into(),
            cells: cells.into(),
        }
    }

    /// A statement over a list of keys, `sql` ending in `IN`; long lists make several.
    pub(super) fn over_keys<'a>(sql: &'a str, keys: &'a [Cell]) -> impl Iterator<Item = Self> + 'a {
        keys.chunks(256).map(move |chunk| {
            let (list, cells) = padded_list(chunk);
            Self::new(format!("{sql} ({list})"), cells)
        })
    }

    /// A statement over rows of values: `head`, the list, `tail`; long lists make several.
    pub(super) fn over_rows(head: &str, rows: Vec<Vec<Cell>>, tail: &str) -> Vec<Self> {
        let sizes: Vec<usize> = sized_chunks(&rows)
            .iter()
            .map(|chunk| chunk.len())
            .collect();
        let mut rows = rows.into_iter();
        sizes
            .into_iter()
            .map(|size| {
                let chunk: Vec<Vec<Cell>> = rows.by_ref().take(size).collect();
                let sql = values_statement(head, &chunk, tail);
                Self::new(sql, chunk.into_iter().flatten().collect::<Vec<_>>())
            })
            .collect()
    }
}

/// Several statements, each with the number of its cells, as one text for SQLite, whose placeholders go through all
/// their cells.
///
/// Where every statement names its cells in order, each once, the placeholders are nameless: looking up a name takes
/// longer the more there are.
pub(super) fn together<'a>(statements: impl Iterator<Item = (&'a str, usize)> + Clone) -> String {
    let nameless = statements.clone().all(|(sql, _)| in_order(sql));
    let (mut text, mut offset) = (String::new(), 0);
    for (sql, cells) in statements {
        if !text.is_empty() {
            text.push_str("; ");
        }
        let mut pieces = sql.split('$');
        text.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (number, rest) = numbered(piece);
            if nameless {
                text.push('?');
            } else {
                // Writing to a String cannot fail.
                let _ = write!(text, "${}", number + offset);
            }
            text.push_str(rest);
        }
        offset += cells;
    }
    text
}

/// The number of a placeholder and what follows it.
fn numbered(piece: &str) -> (usize, &str) {
    let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = piece.split_at(digits);
    (number.parse().unwrap_or_default(), rest)
}

/// Whether the placeholders are `$1`, `$2` and so on as they stand.
fn in_order(sql: &str) -> bool {
    let numbers = sql.split('$').skip(1).map(|piece| numbered(piece).0);
    numbers.eq(1..=sql.matches('$').count())
}

/// A placeholder list padded by repetition to one of five lengths, so that few statements need preparing.
fn padded_list(keys: &[Cell]) -> (String, Vec<Cell>) {
    let length = [1, 4, 16, 64, 256]
        .into_iter()
        .find(|size| *size >= keys.len())
        .unwrap_or(256);
    let mut cells = keys.to_vec();
    if let Some(last) = keys.last() {
        cells.resize(length, last.clone());
    }
    let list = (1..=cells.len())
        .map(|index| format!("${index}"))
        .collect::<Vec<_>>()
        .join(", ");
    (list, cells)
}

/// Cuts rows into pieces whose sizes are powers of two, so that few statements need preparing and few are run.
fn sized_chunks(mut rows: &[Vec<Cell>]) -> Vec<&[Vec<Cell>]> {
    let mut chunks = Vec::new();
    for size in [128, 64, 32, 16, 8, 4, 2, 1] {
        while rows.len() >= size {
            let (chunk, rest) = rows.split_at(size);
            chunks.push(chunk);
            rows = rest;
        }
    }
    chunks
}

fn values_statement(head: &str, rows: &[Vec<Cell>], tail: &str) -> String {
    let mut sql = String::with_capacity(head.len() + tail.len() + rows.len() * 40);
    sql.push_str(head);
    let mut placeholder = 0;
    for (row_index, row) in rows.iter().enumerate() {
        sql.push_str(if row_index == 0 { " (" } else { ", (" });
        for index in 0..row.len() {
            placeholder += 1;
            let separator = if index == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(sql, "{separator}${placeholder}");
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_few_sizes() {
        let rows = vec![vec![Cell::Number(1)]; 128 + 128 + 16 + 4 + 1];
        let sizes: Vec<usize> = sized_chunks(&rows)
            .iter()
            .map(|chunk| chunk.len())
            .collect();
        assert_eq!(sizes, [128, 128, 16, 4, 1]);
    }

    #[test]
    fn lists_are_padded_with_their_last_key() {
        let (list, cells) = padded_list(&[Cell::Number(1), Cell::Number(2)]);
        assert_eq!(list, "$1, $2, $3, $4");
        assert!(matches!(cells[3], Cell::Number(2)));
    }

    fn text(statements: &[&str]) -> String {
        together(statements.iter().map(|sql| (*sql, 2)))
    }

    #[test]
    fn cells_that_are_named_in_order_have_nameless_placeholders() {
        let delete = "DELETE FROM a WHERE id IN ($1, $2)";
        assert_eq!(
            text(&[delete, "COMMIT", delete]),
            "DELETE FROM a WHERE id IN (?, ?); COMMIT; DELETE FROM a WHERE id IN (?, ?)"
        );
    }

    #[test]
    fn placeholders_in_another_order_are_counted_on() {
        let twice = "UPDATE b SET c = $1 WHERE d = $2 AND e = $1";
        assert_eq!(
            text(&["DELETE FROM a WHERE id IN ($1, $2)", twice]),
            "DELETE FROM a WHERE id IN ($1, $2); UPDATE b SET c = $3 WHERE d = $4 AND e = $3"
        );
    }

    #[test]
    fn rows_become_statements_of_few_sizes_in_order() {
        let rows = (0..3).map(|number| vec![Cell::Number(number)]).collect();
        let statements = Statement::over_rows("INSERT INTO a VALUES", rows, "RETURNING b");
        let texts: Vec<&str> = statements.iter().map(|one| one.sql.as_str()).collect();
        assert_eq!(
            texts,
            [
                "INSERT INTO a VALUES ($1), ($2) RETURNING b",
                "INSERT INTO a VALUES ($1) RETURNING b"
            ]
        );
        assert!(matches!(statements[1].cells[..], [Cell::Number(2)]));
    }
}
