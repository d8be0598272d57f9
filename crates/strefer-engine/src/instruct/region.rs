//! The base recipe's questions about a masked object: attributes, name, captions.

use strefer_core::records::Entity;
use strefer_core::sample::AnswerFormat;

use crate::instruct::context::Context;
use crate::instruct::draft::{Draft, Fact};
use crate::instruct::story;
use crate::instruct::task::TaskKind;
use crate::language::nouns::{a, bare, capitalised, list};
use crate::language::rewrite::verbs_are_plural;
use crate::language::verbs::agree;

/// What an attribute is called in questions, short and in sentences.
fn attribute_wordings(name: &str) -> ([String; 3], [String; 3]) {
    let short = [
        format!("What {name} is {{0}}?"),
        format!("Which {name} {{do0}} {{0}} have?"),
        format!("Name the {name} of {{0}}."),
    ];
    let long = [
        format!("Tell me the {name} of {{0}} in a sentence."),
        format!("Describe the {name} of {{0}} in a sentence."),
        format!("What do you say about the {name} of {{0}}?"),
    ];
    (short, long)
}

/// Colour, pattern, shape or size, as one word or as a sentence. Another object always has another answer.
pub fn attributes(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("region_attribute");
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        for (name, values) in &cx.cfg.attributes {
            let value_of = |at: usize| cx.entity(at).entity.attributes.get(name).cloned();
            let Some(value) = value_of(at).filter(|value| values.contains(value)) else { continue };
            let others: Vec<(usize, String)> = cx
                .referable()
                .iter()
                .filter_map(|&other| Some((other, value_of(other)?)))
                .filter(|(_, other)| *other != value)
                .collect();
            let other = rng.choose(&others).cloned();
            let (short, long) = attribute_wordings(name);
            let is_short = cx.brief(&mut rng);
            let wordings = if is_short { short } else { long };
            let template = cx.wording(&mut rng, &wordings.each_ref().map(String::as_str)).to_owned();
            let answer = match (is_short, name.as_str()) {
                (true, _) => format!("{}.", capitalised(&value)),
                (false, "shape") => format!("{} {}.", capitalised(&cx.it_is(at)), a(&value)),
                (false, _) => format!("{} {value}.", capitalised(&cx.it_is(at))),
            };
            let Some(question) = cx.masked(&mut rng, &template, &[at]) else { continue };
            let mut draft = Draft::new(TaskKind::RegionAttribute, name, question, answer)
                .scored(value)
                .about(vec![Fact::of(at, name.clone())]);
            draft.regions = vec![at];
            draft.choices = Some(values.clone());
            drafts.extend(cx.contrast(draft, other));
        }
    }
    drafts
}

/// All attributes and the name.
fn appearance(cx: &Context<'_>, at: usize) -> Vec<Fact> {
    cx.cfg.attributes.keys().map(|name| Fact::of(at, name.clone())).chain([Fact::of(at, "name")]).collect()
}

/// Another referable entity that is called otherwise.
fn other_name(cx: &Context<'_>, at: usize, rng: &mut strefer_core::Rng) -> Option<(usize, String)> {
    let name = |at: usize| a(&cx.entity(at).entity.expression).to_lowercase();
    let others: Vec<usize> =
        cx.referable().iter().copied().filter(|&other| name(other) != name(at)).collect();
    rng.choose(&others).map(|&other| (other, name(other)))
}

/// "a ball: large, red, striped", the noun first; `None` when the expression is not attributes before the noun.
fn noun_first(entity: &Entity) -> Option<String> {
    let attributes = bare(&entity.expression).strip_suffix(bare(&entity.noun))?.trim();
    let words: Vec<&str> = attributes.split_whitespace().collect();
    (!words.is_empty()).then(|| format!("{}: {}", a(&entity.noun), words.join(", ")))
}

/// What a masked object is: as it is called, or its noun before its attributes, so that neither is always guessed from
/// the other.
pub fn names(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("region_name");
    let called = ["What is {0}?", "What object is {0}?", "Name {0}.", "Tell me what {0} is."];
    let described = ["What kind of object is {0}, and what is it like?", "What is {0}, and what is it like?"];
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        let other = other_name(cx, at, &mut rng);
        let entity = &cx.entity(at).entity;
        let (template, name) = match noun_first(entity).filter(|_| !cx.single() && rng.chance(0.5)) {
            Some(described_name) => (cx.wording(&mut rng, &described), described_name),
            None => (cx.wording(&mut rng, &called), a(&entity.expression)),
        };
        let Some(question) = cx.masked(&mut rng, template, &[at]) else { continue };
        let mut draft =
            Draft::new(TaskKind::RegionName, "name", question, format!("{}.", capitalised(&name)))
                .format(AnswerFormat::Expression)
                .about(appearance(cx, at));
        draft.asks = vec![Fact::of(at, "name")];
        draft.regions = vec![at];
        drafts.extend(cx.contrast(draft, other));
    }
    drafts
}

/// Where in a single frame a masked object is: left, top, right and bottom in hundredths of the picture.
pub fn boxes(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("region_box");
    let templates = ["Where in the picture {be0} {0}?", "Give the box of {0}.", "In which box {be0} {0}?"];
    let (width, height) = (cx.facts.video.width, cx.facts.video.height);
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        for sighting in cx.pointers(at) {
            let template = cx.wording(&mut rng, &templates);
            let Some(question) = cx.masked(&mut rng, template, &[at]) else { continue };
            let answer = format!("{}.", hundredths(sighting.frame.bbox_xywh, width, height));
            let fact = Fact::of(at, format!("box:{}", sighting.key.0));
            let mut draft = Draft::new(TaskKind::RegionBox, "box", question, answer).about(vec![fact]);
            draft.regions = vec![at];
            draft.frame = Some(sighting.key);
            drafts.push(draft);
        }
    }
    drafts
}

/// A box `(x, y, w, h)` in pixels as left, top, right and bottom in whole hundredths of the picture, two digits each; 99 is the far end.
pub fn hundredths([x, y, w, h]: [u32; 4], width: u32, height: u32) -> String {
    let share = |at: u32, of: u32| (u64::from(at) * 100 / u64::from(of.max(1))).min(99);
    [share(x, width), share(y, height), share(x + w, width), share(y + h, height)]
        .map(|share| format!("{share:02}"))
        .join(" ")
}

/// A masked object and what it does, in one phrase.
pub fn short_captions(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("region_caption");
    let templates =
        ["Give a short caption of {0}.", "Describe {0} in a few words.", "Write a brief description of {0}."];
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        let predicates: Vec<String> =
            story::predicates(cx, at).iter().map(|text| cx.predicate(at, text)).collect();
        let does = if predicates.is_empty() {
            String::new()
        } else {
            format!(" that {}", predicates.join(", then "))
        };
        let answer = format!("{}{does}.", capitalised(&a(&cx.entity(at).entity.expression)));
        let template = cx.wording(&mut rng, &templates);
        let Some(question) = cx.masked(&mut rng, template, &[at]) else { continue };
        let mut facts = appearance(cx, at);
        facts.extend(story::all_runs(cx, at));
        let mut draft = Draft::new(TaskKind::RegionCaption, "caption", question, answer).about(facts);
        draft.asks = vec![Fact::of(at, "name")];
        draft.regions = vec![at];
        draft.held_out = cx.entity(at).held_out();
        drafts.push(draft);
    }
    drafts
}

/// A masked object in sentences: what it is, the attributes that its name leaves out, what it does.
pub fn detailed_captions(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("region_caption_detailed");
    let templates = [
        "Describe {0} in detail.",
        "Give a detailed description of {0} and what happens to it.",
        "Tell me everything about {0}.",
    ];
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        let facts = cx.entity(at);
        let known: Vec<String> = cx
            .cfg
            .attributes
            .keys()
            .filter(|name| *name != "shape")
            .filter_map(|name| facts.entity.attributes.get(name).cloned())
            .filter(|value| !facts.entity.expression.split(' ').any(|word| word.eq_ignore_ascii_case(value)))
            .collect();
        let plural = cx.it_is(at).ends_with("are");
        // A person is "they", and still one.
        let this = if verbs_are_plural(&facts.entity) { "These are" } else { "This is" };
        let mut answer = format!("{this} {}.", a(&facts.entity.expression));
        if !known.is_empty() {
            answer.push_str(&format!(
                " {} {}.",
                capitalised(cx.pronoun(at)),
                agree(&format!("is {}", list(&known)), plural)
            ));
        }
        if let Some(order) = story::in_order(cx, at) {
            answer.push_str(&format!(" {order}"));
        }
        let template = cx.wording(&mut rng, &templates);
        let Some(question) = cx.masked(&mut rng, template, &[at]) else { continue };
        let mut told = appearance(cx, at);
        told.extend(story::all_runs(cx, at));
        let mut draft = Draft::new(TaskKind::RegionCaptionDetailed, "caption", question, answer).about(told);
        draft.asks = vec![Fact::of(at, "name")];
        draft.regions = vec![at];
        draft.held_out = facts.held_out();
        drafts.push(draft);
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::hundredths;

    #[test]
    fn boxes_are_told_in_two_digits_each() {
        assert_eq!(hundredths([0, 9, 64, 55], 128, 128), "00 07 50 50");
        assert_eq!(hundredths([120, 0, 8, 60], 128, 60), "93 00 99 99");
        // A record may claim a box beyond the picture.
        assert_eq!(hundredths([200, 0, 8, 60], 128, 0), "99 00 99 99");
    }
}
