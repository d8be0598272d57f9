//! A judge of descriptions of the synthetic world: its words are few, so rules can compare what two descriptions say.

use strefer_synth::{Action, Colour, Pattern, Shape, Size};
use strefer_teacher::{Answer, Fault, Question, Rules};

/// What the judge does, for the record.
pub(super) const RULES: &str = "Rules over the words of the synthetic world. Subject: the shape agrees. Appearance: share of \
colour, pattern and size that agree. Temporal: the longest series of actions that both tell in order, of those of the correct \
answer. Hallucination: share of all words said that the correct answer bears out. Each times 5, rounded.";

/// What a description says.
#[derive(Debug, Default, PartialEq)]
struct Told {
    shape: Option<&'static str>,
    looks: [Option<&'static str>; 3],
    actions: Vec<&'static str>,
}

/// Verbs of an action, in every form that descriptions use.
fn stems(action: Action) -> &'static [&'static str] {
    match action {
        Action::StandsStill => &["stands still", "stand still", "standing still"],
        Action::MovesLeft => &["moves to the left", "move to the left", "moving to the left"],
        Action::MovesRight => &["moves to the right", "move to the right", "moving to the right"],
        Action::ComesCloser => &["comes closer", "come closer", "coming closer"],
        Action::MovesAway => &["moves away", "move away", "moving away"],
        Action::Jumps => &["jumps", "jump", "jumping"],
        Action::Spins => &["spins", "spin", "spinning"],
    }
}

fn told(text: &str) -> Told {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    let first = |known: &mut dyn Iterator<Item = &'static str>| {
        let places = known.filter_map(|word| Some((words.iter().position(|said| *said == word)?, word)));
        places.min().map(|(_, word)| word)
    };
    let mut actions: Vec<(usize, &'static str)> = Vec::new();
    for action in Action::ALL {
        let places = stems(action).iter().flat_map(|form| text.match_indices(form));
        let mut places: Vec<usize> = places.map(|(at, _)| at).collect();
        // "jumps" holds "jump": both stand at one place.
        places.sort_unstable();
        places.dedup();
        actions.extend(places.into_iter().map(|at| (at, action.phrase())));
    }
    actions.sort_unstable();
    let mut actions: Vec<&'static str> = actions.into_iter().map(|(_, phrase)| phrase).collect();
    actions.dedup();
    Told {
        shape: first(&mut Shape::ALL.iter().map(|value| value.word())),
        looks: [
            first(&mut Colour::ALL.iter().map(|value| value.word())),
            first(&mut Pattern::ALL.iter().map(|value| value.word())),
            first(&mut Size::ALL.iter().map(|value| value.word())),
        ],
        actions,
    }
}

/// Length of the longest series that stands in both in order.
fn in_order(a: &[&str], b: &[&str]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut before = 0;
        for (at, y) in b.iter().enumerate() {
            let longest = if x == y { before + 1 } else { row[at + 1].max(row[at]) };
            before = std::mem::replace(&mut row[at + 1], longest);
        }
    }
    row[b.len()]
}

/// Four ratings, 0 to 5.
fn rate(truth: &Told, said: &Told) -> [f64; 4] {
    let share = |part: usize, whole: usize| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
    let known = truth.looks.iter().flatten().count();
    let agree = truth.looks.iter().zip(&said.looks).filter(|(a, b)| a.is_some() && a == b).count();
    let order = in_order(&truth.actions, &said.actions);
    let right_shape = usize::from(said.shape.is_some() && said.shape == truth.shape);
    let statements =
        usize::from(said.shape.is_some()) + said.looks.iter().flatten().count() + said.actions.len();
    let borne_out = right_shape + agree + order;
    [
        share(right_shape, usize::from(truth.shape.is_some())),
        share(agree, known),
        share(order, truth.actions.len()),
        if statements == 0 { 0.0 } else { share(borne_out, statements) },
    ]
    .map(|part| (5.0 * part).round())
}

/// A teacher that replies in the form of VideoRefer-Bench-D.
pub(super) fn teacher() -> Rules {
    Rules::new("rules of the synthetic world", |question: &Question| {
        let words = question.words();
        let parts =
            words.strip_prefix("Correct answer: ").and_then(|rest| rest.split_once("\nPredicted answer: "));
        let Some((truth, said)) = parts else {
            let (model, reason) =
                ("rules".to_owned(), "expected a correct and a predicted answer".to_owned());
            return Err(Fault::Own { model, reason });
        };
        let [subject, looks, order, made_up] = rate(&told(truth), &told(said));
        Ok(Answer::of(format!(
            "1. Subject Correspondence: {subject}\n2. Appearance Description: {looks}\n\
             3. Temporal Description: {order}\n4. Hallucination Detection: {made_up}\n"
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_compared_by_what_they_say() {
        let truth =
            told("A large red striped ball. First it jumps, then it moves away, and finally it spins.");
        assert_eq!(truth.looks, [Some("red"), Some("striped"), Some("large")]);
        assert_eq!(truth.actions, ["jumps", "moves away", "spins"]);
        assert_eq!(rate(&truth, &truth), [5.0; 4]);
        // Two of three looks, one of three actions in order; four of seven statements are true.
        let other = told("A small red striped box jumps while it spins and then moves to the left.");
        assert_eq!(rate(&truth, &other), [0.0, 3.0, 3.0, 3.0]);
        assert_eq!(rate(&truth, &told("Nothing.")), [0.0; 4]);
    }
}
