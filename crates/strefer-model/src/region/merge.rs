//! Temporal token merge: neighbouring frame tokens of one object that resemble each other are averaged.

/// Cosine similarity of each vector with the next; norms below 1e-12 count as that.
pub fn adjacent_similarities(tokens: &[Vec<f32>]) -> Vec<f32> {
    let norms: Vec<f32> = tokens.iter().map(|token| dot(token, token).sqrt().max(1e-12)).collect();
    let unit: Vec<Vec<f32>> = tokens
        .iter()
        .zip(&norms)
        .map(|(token, norm)| token.iter().map(|value| value / norm).collect())
        .collect();
    unit.windows(2).map(|pair| dot(&pair[0], &pair[1])).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The groups of neighbours that become one token each: lengths in time order.
///
/// With more than `limit` tokens the threshold is the `(k - limit)`-th largest similarity, duplicates counted, and a
/// group ends wherever the similarity to the next token is strictly below it. Ties therefore leave fewer than `limit`.
pub fn merge_groups(similarities: &[f32], limit: usize) -> Vec<usize> {
    let count = similarities.len() + 1;
    if count <= limit {
        return vec![1; count];
    }
    let mut sorted = similarities.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let threshold = sorted[count - limit - 1];
    let mut groups = vec![1];
    for &similarity in similarities {
        if similarity < threshold {
            groups.push(1);
        } else if let Some(group) = groups.last_mut() {
            *group += 1;
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_at_the_threshold_merge_too() {
        assert_eq!(merge_groups(&[0.9, 0.1, 0.9, 0.2], 3), [2, 2, 1]);
        assert_eq!(merge_groups(&[0.5; 7], 4), [8]);
        assert_eq!(merge_groups(&[0.3, 0.2], 4), [1, 1, 1]);
        assert_eq!(merge_groups(&[], 4), [1]);
    }

    #[test]
    fn an_empty_vector_resembles_nothing() {
        assert_eq!(adjacent_similarities(&[vec![0.0, 0.0], vec![1.0, 0.0], vec![2.0, 0.0]]), [0.0, 1.0]);
    }
}
