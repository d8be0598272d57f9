//! How questions and answers are worded. The first half of every list leaves the form of the answer open.

use strefer_core::{Rng, Span};

use crate::stkit::overlay::Colour;
use crate::stkit::question::{Quantity, Question};

const DISTANCE: [&str; 8] = [
    "How far does {object} travel {when}?",
    "What distance does {object} cover {when}?",
    "How long is the path that {object} takes {when}?",
    "Estimate how far {object} moves {when}.",
    "How many meters does {object} travel {when}? Answer with a number and its unit.",
    "Give the distance that {object} covers {when}, in meters with one decimal.",
    "In meters, how long is the way of {object} {when}? Reply with nothing but the number and its unit.",
    "State the length of the path of {object} {when} in the form 'N meters'.",
];

const SPEED: [&str; 8] = [
    "How fast does {object} move {when}?",
    "What is the average speed of {object} {when}?",
    "At what speed does {object} travel {when}, on average?",
    "Estimate the mean speed of {object} {when}.",
    "What is the average speed of {object} {when} in km/h? Answer with a number and its unit.",
    "Give the mean speed of {object} {when}, in km/h with one decimal.",
    "How many km/h does {object} average {when}? Reply with nothing but the number and its unit.",
    "State the average speed of {object} {when} in the form 'N km/h'.",
];

const DIRECTION: [&str; 8] = [
    "Let the first motion of {object} point to 12 o'clock. Where on the clock does it head at the end of the video?",
    "Take the direction in which {object} first moves as 12 o'clock. Which way does it move when the video ends?",
    "Seen from above, {object} first moves towards 12 o'clock. What is its clock direction at the end?",
    "If 12 o'clock is where {object} moves first, towards which hour does it move in the last moment of the video?",
    "The first motion of {object} defines 12 o'clock. In which clock direction does it move at the end of the video? \
     Answer with an hour from 1 to 12.",
    "With the first motion of {object} as 12 o'clock, give its direction at the end of the video in the form \
     'N o'clock'.",
    "Call the direction of the first motion of {object} 12 o'clock. Which hour does it move towards as the video ends? \
     Reply with nothing but the hour, followed by o'clock.",
    "On a clock face whose 12 o'clock is the first direction of motion of {object}, name the hour of its last motion, \
     a whole number followed by o'clock.",
];

const TIMESTAMP: [&str; 8] = [
    "Let the first motion of {object} point to 12 o'clock. When does it move towards {clock} o'clock?",
    "Take the direction in which {object} first moves as 12 o'clock. During which time does it go towards {clock} \
     o'clock?",
    "Seen from above, {object} first moves towards 12 o'clock. When does it head for {clock} o'clock?",
    "If 12 o'clock is where {object} moves first, over which part of the video does it move towards {clock} o'clock?",
    "The first motion of {object} defines 12 o'clock. From when to when does it move towards {clock} o'clock? Answer \
     with a start and an end in seconds.",
    "With the first motion of {object} as 12 o'clock, give the interval in which it moves towards {clock} o'clock in \
     the form 'from A to B seconds'.",
    "Call the direction of the first motion of {object} 12 o'clock. In which interval does it move towards {clock} \
     o'clock? Reply with two times in seconds, one decimal each.",
    "On a clock face whose 12 o'clock is the first direction of motion of {object}, its motion points to {clock} \
     o'clock for a while. State start and end of that time in seconds.",
];

const COMPARISON: [&str; 8] = [
    "Which object travels {more}, the one in the {a} box or the one in the {b} box?",
    "Of the objects in the {a} and {b} boxes, which one goes {more}?",
    "Compare the objects marked {a} and {b}: which of them moves {more}?",
    "Does the object in the {a} box or the object in the {b} box travel {more} during the video?",
    "Which object travels {more}, the {a} one or the {b} one? Answer with the color of its box.",
    "Name the color of the box whose object moves {more}: {a} or {b}.",
    "Between the objects in the {a} box and the {b} box, which goes {more}? Reply with nothing but a color.",
    "Choose one: which object travels {more} in this video, {a} or {b}?",
];

const SAME_DIRECTION: [&str; 8] = [
    "Do the objects in the {a} and {b} boxes move in the same direction?",
    "Is the object in the {a} box going the same way as the object in the {b} box?",
    "Compare how the objects marked {a} and {b} move. Is it in the same direction?",
    "Over the whole video, do the {a} object and the {b} object head the same way?",
    "Do the objects in the {a} and {b} boxes move in the same direction? Answer yes or no.",
    "Yes or no: does the object in the {a} box go the same way as the object in the {b} box?",
    "Is the direction of the object marked {a} the same as that of the object marked {b}? Reply with nothing but \
     yes or no.",
    "State with yes or no whether the {a} object and the {b} object head in one direction.",
];

/// The question's sentence. `is_alone`: no other object is marked, so the colour need not be named.
pub fn question(question: &Question, is_alone: bool, rng: &mut Rng) -> String {
    let fill = |templates: &[&str; 8], rng: &mut Rng, slots: &[(&str, &str)]| {
        let template = templates[rng.below(templates.len())].to_owned();
        slots.iter().fold(template, |text, (slot, value)| text.replace(&format!("{{{slot}}}"), value))
    };
    match question {
        Question::Measure { quantity, object, span, .. } => {
            let templates = match quantity {
                Quantity::Distance => &DISTANCE,
                Quantity::Speed => &SPEED,
            };
            let (object, when) = (name(*object, is_alone), when(span.as_ref()));
            fill(templates, rng, &[("object", &object), ("when", &when)])
        }
        Question::Direction { object, .. } => fill(&DIRECTION, rng, &[("object", &name(*object, is_alone))]),
        Question::Timestamp { object, clock, .. } => {
            let (object, clock) = (name(*object, is_alone), clock.to_string());
            fill(&TIMESTAMP, rng, &[("object", &object), ("clock", &clock)])
        }
        Question::Comparison { quantity, objects: [a, b], more, .. } => {
            let more = match (quantity, more) {
                (Quantity::Speed, _) => format!("{} on average", degree(*quantity, *more)),
                (Quantity::Distance, _) => degree(*quantity, *more).to_owned(),
            };
            fill(&COMPARISON, rng, &[("a", a.name()), ("b", b.name()), ("more", &more)])
        }
        Question::SameDirection { objects: [a, b], .. } => {
            fill(&SAME_DIRECTION, rng, &[("a", a.name()), ("b", b.name())])
        }
    }
}

/// The answer's sentence; one form a task.
pub fn answer(question: &Question, is_alone: bool) -> String {
    let text = match question {
        Question::Measure { quantity: Quantity::Distance, object, value, .. } => {
            format!("{} travels {value:.1} meters.", name(*object, is_alone))
        }
        Question::Measure { quantity: Quantity::Speed, object, value, .. } => {
            format!("{} moves at {value:.1} km/h on average.", name(*object, is_alone))
        }
        Question::Direction { object, clock } => {
            format!("{} moves towards {clock} o'clock.", name(*object, is_alone))
        }
        Question::Timestamp { span: Span { start_s, end_s }, .. } => {
            format!("it moves that way from {start_s:.1} to {end_s:.1} seconds.")
        }
        Question::Comparison { quantity, objects, more, winner } => {
            format!("{} travels {}.", name(objects[*winner], false), degree(*quantity, *more))
        }
        Question::SameDirection { same: true, .. } => "yes, they move in the same direction.".to_owned(),
        Question::SameDirection { same: false, .. } => "no, they move in different directions.".to_owned(),
    };
    text[..1].to_uppercase() + &text[1..]
}

fn name(object: Colour, is_alone: bool) -> String {
    if is_alone { "the object".to_owned() } else { object.boxed_object() }
}

fn when(span: Option<&Span>) -> String {
    match span {
        Some(Span { start_s, end_s }) => format!("between {start_s:.1} and {end_s:.1} seconds"),
        None => "over the whole video".to_owned(),
    }
}

fn degree(quantity: Quantity, more: bool) -> &'static str {
    match (quantity, more) {
        (Quantity::Distance, true) => "farther",
        (Quantity::Distance, false) => "less far",
        (Quantity::Speed, true) => "faster",
        (Quantity::Speed, false) => "slower",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SPAN: Span = Span { start_s: 1.0, end_s: 3.5 };
    const PAIR: [Colour; 2] = [Colour::Red, Colour::Blue];

    fn one_of_each() -> Vec<Question> {
        let object = Colour::Blue;
        let mut all = vec![
            Question::Direction { object, clock: 3 },
            Question::Timestamp { object, clock: 3, span: SPAN },
            Question::SameDirection { objects: PAIR, same: true },
        ];
        for quantity in [Quantity::Distance, Quantity::Speed] {
            for span in [None, Some(SPAN)] {
                all.push(Question::Measure { quantity, object, span, value: 23.4 });
            }
            for more in [true, false] {
                all.push(Question::Comparison { quantity, objects: PAIR, more, winner: 0 });
            }
        }
        all
    }

    #[test]
    fn every_question_has_eight_wordings_without_empty_slots() {
        for asked in one_of_each() {
            let rng = Rng::new(5, "words");
            let texts: BTreeSet<String> =
                (0..400).map(|draw| question(&asked, false, &mut rng.at(draw))).collect();
            assert_eq!(texts.len(), 8, "{asked:?}");
            for text in texts {
                assert!(!text.contains(['{', '}']) && !text.contains("  "), "{text}");
                assert!(text.contains("blue"), "{text}");
                let is_clock = matches!(asked, Question::Direction { .. } | Question::Timestamp { .. });
                assert_eq!(text.contains("12 o'clock") && text.contains("first"), is_clock, "{text}");
                let spanned = matches!(asked, Question::Measure { span: Some(_), .. });
                assert_eq!(text.contains("between 1.0 and 3.5 seconds"), spanned, "{text}");
            }
        }
    }

    #[test]
    fn the_first_half_of_every_list_leaves_the_form_open() {
        let forms = [
            "Answer",
            "Reply",
            "form",
            "nothing but",
            "decimal",
            "State",
            "Name",
            "Choose",
            "or no",
            "number",
        ];
        for list in [DISTANCE, SPEED, DIRECTION, TIMESTAMP, COMPARISON, SAME_DIRECTION] {
            let has_form = list.map(|text| forms.iter().any(|form| text.contains(form)));
            assert_eq!(has_form, [false, false, false, false, true, true, true, true]);
        }
    }

    #[test]
    fn answers_say_what_is_scored() {
        let answers: Vec<String> = one_of_each().iter().map(|asked| answer(asked, false)).collect();
        assert_eq!(
            answers,
            [
                "The object in the blue box moves towards 3 o'clock.",
                "It moves that way from 1.0 to 3.5 seconds.",
                "Yes, they move in the same direction.",
                "The object in the blue box travels 23.4 meters.",
                "The object in the blue box travels 23.4 meters.",
                "The object in the red box travels farther.",
                "The object in the red box travels less far.",
                "The object in the blue box moves at 23.4 km/h on average.",
                "The object in the blue box moves at 23.4 km/h on average.",
                "The object in the red box travels faster.",
                "The object in the red box travels slower.",
            ]
        );
        let alone = Question::Direction { object: Colour::Red, clock: 11 };
        assert_eq!(answer(&alone, true), "The object moves towards 11 o'clock.");
        assert!(!question(&alone, true, &mut Rng::new(0, "words")).contains("box"));
    }
}
