//! One-to-one assignment of least cost, by shortest augmenting paths (Jonker and Volgenant, 1987).

/// The column of each row, so that the sum of costs is least; `min(rows, columns)` rows get one. Costs must be finite.
///
/// # Shapes
/// - `costs`: one slice a row, all of one length
pub fn assign(costs: &[Vec<f64>]) -> Vec<Option<usize>> {
    let rows = costs.len();
    let columns = costs.first().map_or(0, Vec::len);
    if columns == 0 {
        return vec![None; rows];
    }
    if rows > columns {
        let transposed: Vec<Vec<f64>> =
            (0..columns).map(|column| costs.iter().map(|row| row[column]).collect()).collect();
        let mut found = vec![None; rows];
        for (column, row) in assign(&transposed).into_iter().enumerate() {
            if let Some(row) = row {
                found[row] = Some(column);
            }
        }
        return found;
    }
    let mut row_price = vec![0.0; rows];
    let mut column_price = vec![0.0; columns];
    let mut owner: Vec<Option<usize>> = vec![None; columns];
    for first in 0..rows {
        // The cheapest way from the new row to each column over rows that have one already.
        let mut distance = vec![f64::INFINITY; columns];
        let mut before: Vec<Option<usize>> = vec![None; columns];
        let mut done = vec![false; columns];
        let (mut row, mut reached, mut via) = (first, 0.0, None);
        let end = loop {
            for column in (0..columns).filter(|&column| !done[column]) {
                let along = reached + costs[row][column] - row_price[row] - column_price[column];
                if along < distance[column] {
                    distance[column] = along;
                    before[column] = via;
                }
            }
            let open = (0..columns).filter(|&column| !done[column]);
            let nearest = open.min_by(|&a, &b| distance[a].total_cmp(&distance[b]));
            let nearest = nearest.expect("there are at least as many columns as rows");
            reached = distance[nearest];
            done[nearest] = true;
            via = Some(nearest);
            match owner[nearest] {
                Some(next) => row = next,
                None => break nearest,
            }
        };
        for column in (0..columns).filter(|&column| done[column]) {
            let slack = reached - distance[column];
            column_price[column] -= slack;
            if let Some(row) = owner[column] {
                row_price[row] += slack;
            }
        }
        row_price[first] += reached;
        let mut column = end;
        loop {
            match before[column] {
                Some(earlier) => {
                    owner[column] = owner[earlier];
                    column = earlier;
                }
                None => {
                    owner[column] = Some(first);
                    break;
                }
            }
        }
    }
    let mut found = vec![None; rows];
    for (column, row) in owner.into_iter().enumerate() {
        if let Some(row) = row {
            found[row] = Some(column);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use strefer_core::Rng;

    use super::*;

    fn total(costs: &[Vec<f64>], found: &[Option<usize>]) -> f64 {
        found.iter().enumerate().filter_map(|(row, column)| Some(costs[row][(*column)?])).sum()
    }

    /// The least sum over all ways to give distinct columns to as many rows as can have one.
    fn searched(costs: &[Vec<f64>], row: usize, used: &mut Vec<usize>, skips: usize) -> f64 {
        if row == costs.len() {
            return 0.0;
        }
        let mut best = f64::INFINITY;
        for column in 0..costs[row].len() {
            if !used.contains(&column) {
                used.push(column);
                best = best.min(costs[row][column] + searched(costs, row + 1, used, skips));
                used.pop();
            }
        }
        if skips > 0 { best.min(searched(costs, row + 1, used, skips - 1)) } else { best }
    }

    #[test]
    fn sums_are_the_least_of_all() {
        let mut rng = Rng::new(4, "hungarian");
        for _ in 0..200 {
            let (rows, columns) = (1 + rng.below(5), 1 + rng.below(5));
            let whole = rng.chance(0.3);
            let cost = |rng: &mut Rng| if whole { rng.below(3) as f64 } else { rng.range(-1.0, 1.0) };
            let costs: Vec<Vec<f64>> =
                (0..rows).map(|_| (0..columns).map(|_| cost(&mut rng)).collect()).collect();
            let found = assign(&costs);
            let mut columns_used: Vec<usize> = found.iter().flatten().copied().collect();
            assert_eq!(columns_used.len(), rows.min(columns));
            columns_used.sort_unstable();
            columns_used.dedup();
            assert_eq!(columns_used.len(), rows.min(columns), "every column once");
            let least = searched(&costs, 0, &mut Vec::new(), rows.saturating_sub(columns));
            assert!((total(&costs, &found) - least).abs() < 1e-9, "{costs:?}");
        }
    }

    #[test]
    fn nothing_is_assigned_to_nothing() {
        assert_eq!(assign(&[]), []);
        assert_eq!(assign(&[vec![], vec![]]), [None, None]);
    }
}
