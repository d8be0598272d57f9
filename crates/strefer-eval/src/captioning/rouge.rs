//! [ROUGE-L](https://aclanthology.org/W04-1013/): the longest row of words that both share, gaps allowed.

/// Weight of recall over precision.
const BETA: f64 = 1.2;

/// ROUGE-L of one caption, 0 to 1. The best precision and the best recall may come from different references.
pub(super) fn rouge_l(prediction: &str, references: &[String]) -> f64 {
    // An empty text is one empty word, as the toolkit has it.
    let said: Vec<&str> = prediction.split(' ').collect();
    let (mut precision, mut recall) = (0.0_f64, 0.0_f64);
    for reference in references {
        let words: Vec<&str> = reference.split(' ').collect();
        let shared = longest_shared(&said, &words) as f64;
        precision = precision.max(shared / said.len() as f64);
        recall = recall.max(shared / words.len() as f64);
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

fn longest_shared(a: &[&str], b: &[&str]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (at, other) in b.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if word == other { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    row[b.len()]
}
