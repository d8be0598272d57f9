//! The base recipe's questions about the scene as a whole: captions, counting, existence.

use strefer_core::sample::AnswerFormat;

use crate::instruct::context::Context;
use crate::instruct::draft::{Draft, Fact};
use crate::instruct::story;
use crate::instruct::task::TaskKind;
use crate::language::nouns::{a, bare, capitalised, is_plural, list, number, plural};

/// Everything that is in the video, with and without what it does.
pub fn captions(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("scene_caption");
    let seen: Vec<usize> = cx.seen().collect();
    if seen.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = seen.iter().map(|&at| a(&cx.entity(at).entity.expression)).collect();
    let scene = cx.facts.clips.first().and_then(|clip| cx.facts.scenes.get(&clip.cid));
    let mut full: Vec<String> = scene.into_iter().cloned().collect();
    full.push(format!("{}.", capitalised(&list(&names))));
    full.extend(seen.iter().filter_map(|&at| Some(format!("{}.", capitalised(&story::named(cx, at)?)))));
    let mut facts = vec![Fact::scene("objects")];
    facts.extend(seen.iter().flat_map(|&at| everything(cx, at)));
    let describe = [
        "Describe the video.",
        "Tell me everything that happens in the video.",
        "What can be seen, and what happens?",
    ];
    let objects =
        ["Which objects are in the video?", "List what can be seen in the video.", "What is there to see?"];
    vec![
        Draft::new(TaskKind::SceneCaption, "caption", cx.wording(&mut rng, &describe), full.join(" "))
            .about(facts),
        Draft::new(
            TaskKind::SceneCaption,
            "objects",
            cx.wording(&mut rng, &objects),
            format!("{}.", capitalised(&list(&names))),
        )
        .about(vec![Fact::scene("objects")]),
    ]
}

/// All facts about one entity.
fn everything(cx: &Context<'_>, at: usize) -> Vec<Fact> {
    let attributes = cx.cfg.attributes.keys().map(|name| Fact::of(at, name.clone()));
    attributes.chain([Fact::of(at, "name")]).chain(story::all_runs(cx, at)).collect()
}

/// How many there are of each noun, and of each attribute value that is an adjective.
pub fn counts(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("scene_count");
    let nouns = |at: usize| bare(&cx.entity(at).entity.noun).to_owned();
    let mut phrases: Vec<String> = Vec::new();
    let mut add = |phrase: String| {
        if !phrases.contains(&phrase) {
            phrases.push(phrase);
        }
    };
    cx.seen().filter(|&at| !is_plural(&nouns(at))).for_each(|at| add(nouns(at)));
    cx.cfg.attributes.get("shape").into_iter().flatten().for_each(|shape| add(shape.clone()));
    let broad: Vec<String> =
        cx.seen().map(|at| bare(&cx.entity(at).entity.general_noun).to_owned()).collect();
    let shared = broad.first().filter(|first| broad.iter().all(|other| other == *first)).cloned();
    let colours = cx.cfg.attributes.get("colour").into_iter().flatten();
    if let Some(noun) = &shared {
        colours.for_each(|colour| add(format!("{colour} {noun}")));
    }
    let of = |phrase: &str| {
        let (colour, noun) =
            phrase.split_once(' ').map_or((None, phrase), |(colour, noun)| (Some(colour), noun));
        cx.seen()
            .filter(|&at| {
                let entity = &cx.entity(at).entity;
                let kind = nouns(at) == noun || (shared.as_deref() == Some(noun) && colour.is_some());
                kind && colour
                    .is_none_or(|colour| entity.attributes.get("colour").is_some_and(|own| own == colour))
            })
            .count()
    };
    let templates =
        ["How many {} are there in the video?", "How many {} can be seen?", "Count the {} in the video."];
    phrases
        .iter()
        .filter(|phrase| !is_plural(phrase))
        .map(|phrase| {
            let question = cx.wording(&mut rng, &templates).replace("{}", &plural(phrase));
            let answer = number(of(phrase));
            let mut draft =
                Draft::new(TaskKind::SceneCount, "count", question, format!("{}.", capitalised(&answer)))
                    .scored(answer)
                    .about(vec![Fact::scene("objects")]);
            draft.tells = vec![Fact::scene(format!("count:{phrase}"))];
            draft.asks.extend(draft.tells.clone());
            draft.choices = Some((0..=6).map(number).collect());
            draft
        })
        .collect()
}

/// Whether there is an object of a colour and a shape; the false ones share one of both with an object that is there.
pub fn existence(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("scene_exists");
    let value = |at: usize, name: &str| cx.entity(at).entity.attributes.get(name).cloned();
    let there: Vec<(String, String)> =
        cx.seen().filter_map(|at| Some((value(at, "colour")?, value(at, "shape")?))).collect();
    let values = |name: &str| cx.cfg.attributes.get(name).cloned().unwrap_or_default();
    let mut asked: Vec<(String, String)> = Vec::new();
    for (colour, shape) in &there {
        asked.push((colour.clone(), shape.clone()));
        asked.extend(values("colour").into_iter().map(|other| (other, shape.clone())));
        asked.extend(values("shape").into_iter().map(|other| (colour.clone(), other)));
    }
    asked.sort();
    asked.dedup();
    let templates =
        ["Is there {} in the video?", "Can you see {} in the video?", "Does {} appear in the video?"];
    asked
        .into_iter()
        .map(|pair| {
            let thing = a(&format!("{} {}", pair.0, pair.1));
            let question = cx.wording(&mut rng, &templates).replace("{}", &thing);
            let is_there = there.contains(&pair);
            let reason = if is_there {
                format!("there is {thing}.")
            } else {
                format!("there is no {} {}.", pair.0, pair.1)
            };
            let (question, answer) = cx.yes_or_no(&mut rng, &question, is_there, &reason);
            let mut draft = Draft::new(TaskKind::SceneExists, "exists", question, answer)
                .scored(if is_there { "yes" } else { "no" })
                .format(AnswerFormat::Yesno)
                .about(vec![Fact::scene("objects")]);
            draft.tells = vec![Fact::scene(format!("exists:{} {}", pair.0, pair.1))];
            draft.asks.extend(draft.tells.clone());
            draft
        })
        .collect()
}
