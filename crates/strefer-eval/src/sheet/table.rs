//! Markdown tables that are readable as they are.

/// The first column to the left, the others to the right.
pub(crate) fn aligned(head: &[String], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = std::iter::once(&head[column]).chain(rows.iter().map(|row| &row[column]));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cell = |(column, text): (usize, &String)| match (column, widths[column]) {
            (0, width) => format!("| {text:<width$} "),
            (_, width) => format!("| {text:>width$} "),
        };
        cells.iter().enumerate().map(cell).collect::<String>() + "|\n"
    };
    let rule = |(column, width): (usize, &usize)| match column {
        0 => format!("|{}", "-".repeat(width + 2)),
        _ => format!("|{}:", "-".repeat(width + 1)),
    };
    let rules: String = widths.iter().enumerate().map(rule).collect();
    let rows: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{rules}|\n{rows}", line(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = aligned(&row(["", "score"]), &[row(["mAP", "3.20"]), row(["R", "53.94"])]);
        assert_eq!(text, "|     | score |\n|-----|------:|\n| mAP |  3.20 |\n| R   | 53.94 |\n");
    }
}
