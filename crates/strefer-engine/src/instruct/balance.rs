//! Which of the possible questions are kept: answers in equal numbers, false premises in small ones.

use std::collections::{BTreeMap, BTreeSet};

use strefer_core::Rng;
use strefer_core::sample::AnswerFormat;

use crate::instruct::draft::Draft;
use crate::instruct::task::TaskKind;

/// At most `wanted` drafts of one task. Kinds and answers are taken in turn, one false premise after three true ones;
/// yes and no come equally often.
pub fn pick(mut candidates: Vec<Draft>, wanted: usize, rng: &mut Rng) -> Vec<Draft> {
    rng.shuffle(&mut candidates);
    if candidates.first().is_some_and(|draft| draft.format == AnswerFormat::Yesno) {
        return pick_yes_and_no(candidates, wanted, rng);
    }
    let (mut kinds, mut keys) =
        (BTreeMap::<String, usize>::new(), BTreeMap::<(String, String), usize>::new());
    let (mut kept, mut negatives) = (Vec::<Draft>::new(), 0);
    while kept.len() < wanted {
        let rank = |draft: &Draft| {
            let key = (draft.kind.clone(), draft.key.clone());
            let false_after_three = if draft.negative { 3 * negatives + 2 } else { kept.len() - negatives };
            let of_kind = kinds.get(&draft.kind).copied().unwrap_or(0);
            (false_after_three, of_kind, keys.get(&key).copied().unwrap_or(0))
        };
        let Some(lowest) = candidates.iter().map(rank).min() else { break };
        // An answer is drawn first, then a question with it: many ways to ask do not make an answer frequent.
        let tied =
            candidates.iter().filter(|draft| rank(draft) == lowest).map(|draft| (&draft.kind, &draft.key));
        let tied: Vec<_> = tied.collect::<BTreeSet<_>>().into_iter().collect();
        let Some(&answer) = rng.choose(&tied) else { break };
        let is_best = |draft: &Draft| (&draft.kind, &draft.key) == answer && rank(draft) == lowest;
        let Some(best) = candidates.iter().position(is_best) else { break };
        let draft = candidates.remove(best);
        negatives += usize::from(draft.negative);
        *kinds.entry(draft.kind.clone()).or_default() += 1;
        *keys.entry((draft.kind.clone(), draft.key.clone())).or_default() += 1;
        kept.push(draft);
    }
    kept
}

/// As many yes as no. Where only one question is wanted, a coin decides, and only if both could be asked.
fn pick_yes_and_no(candidates: Vec<Draft>, wanted: usize, rng: &mut Rng) -> Vec<Draft> {
    let (mut yes, mut no): (Vec<Draft>, Vec<Draft>) =
        candidates.into_iter().partition(|draft| draft.key == "yes");
    let pairs = yes.len().min(no.len()).min(wanted.div_ceil(2));
    yes.truncate(pairs);
    no.truncate(pairs);
    if wanted == 1 {
        return if rng.chance(0.5) { yes } else { no };
    }
    if 2 * pairs > wanted {
        yes.truncate(pairs - 1);
        no.truncate(pairs - 1);
    }
    yes.into_iter().zip(no).flat_map(|(yes, no)| [yes, no]).collect()
}

/// Drops questions with a false premise above `share` of their group. The group that has nothing else (G8) is
/// measured together with the true questions of the same references (G7).
pub fn limit_negatives(drafts: &mut Vec<Draft>, share: f64) {
    let group = |task: TaskKind| if task.group() == "G8" { "G7" } else { task.group() };
    let mut positives = BTreeMap::<&str, usize>::new();
    for draft in drafts.iter().filter(|draft| !draft.negative) {
        *positives.entry(group(draft.task)).or_default() += 1;
    }
    let mut negatives = BTreeMap::<&str, usize>::new();
    drafts.retain(|draft| {
        if !draft.negative {
            return true;
        }
        let name = group(draft.task);
        let positive = positives.get(name).copied().unwrap_or(0) as f64;
        let count = negatives.entry(name).or_default();
        let fits = (*count + 1) as f64 <= share / (1.0 - share) * positive + 1e-9;
        *count += usize::from(fits);
        fits
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(task: TaskKind, kind: &str, key: &str, format: AnswerFormat) -> Draft {
        Draft::new(task, kind, "?", key).format(format)
    }

    #[test]
    fn rare_answers_are_taken_before_common_ones_repeat() {
        let mut candidates: Vec<Draft> =
            (0..20).map(|_| draft(TaskKind::RegionAttribute, "colour", "red", AnswerFormat::Free)).collect();
        candidates.push(draft(TaskKind::RegionAttribute, "colour", "blue", AnswerFormat::Free));
        candidates.push(draft(TaskKind::RegionAttribute, "size", "small", AnswerFormat::Free));
        let kept = pick(candidates, 3, &mut Rng::new(1, "t"));
        let mut keys: Vec<&str> = kept.iter().map(|draft| draft.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["blue", "red", "small"]);
    }

    #[test]
    fn an_answer_with_many_questions_is_not_drawn_more_often() {
        let mut zero = 0;
        for seed in 0..200 {
            let mut candidates = vec![draft(TaskKind::SceneCount, "count", "zero", AnswerFormat::Free); 9];
            candidates.push(draft(TaskKind::SceneCount, "count", "two", AnswerFormat::Free));
            zero += usize::from(pick(candidates, 1, &mut Rng::new(seed, "t"))[0].key == "zero");
        }
        assert!((70..130).contains(&zero), "{zero}");
    }

    #[test]
    fn yes_and_no_come_in_pairs() {
        let of = |key: &str, count: usize| {
            vec![draft(TaskKind::MaskVerify, "verify", key, AnswerFormat::Yesno); count]
        };
        for (yes, no, wanted, expected) in
            [(5, 1, 4, 2), (3, 3, 4, 4), (3, 3, 3, 2), (4, 0, 4, 0), (1, 1, 1, 1)]
        {
            let kept = pick([of("yes", yes), of("no", no)].concat(), wanted, &mut Rng::new(2, "t"));
            assert_eq!(kept.len(), expected, "{yes} {no} {wanted}");
            if wanted > 1 {
                assert_eq!(kept.iter().filter(|draft| draft.key == "yes").count() * 2, expected);
            }
        }
    }

    #[test]
    fn false_premises_stay_below_their_share() {
        let make = |task, negative| Draft { negative, ..draft(task, "k", "a", AnswerFormat::Free) };
        let mut drafts = vec![make(TaskKind::MaskTimeBehavior, false); 7];
        drafts.extend(vec![make(TaskKind::MaskTimeNegative, true); 9]);
        drafts.extend(vec![make(TaskKind::TimeBehavior, true); 2]);
        limit_negatives(&mut drafts, 0.3);
        assert_eq!(drafts.iter().filter(|draft| draft.task == TaskKind::MaskTimeNegative).count(), 3);
        assert!(!drafts.iter().any(|draft| draft.task == TaskKind::TimeBehavior));
    }
}
