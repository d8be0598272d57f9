//! What every task works with: the facts of one video, the configuration, and the draws keyed by video and task.

use strefer_core::masklet::IndexSpace;
use strefer_core::records::Entity;
use strefer_core::sample::TimeStyle;
use strefer_core::{Rng, Span};

use crate::config::{Form as SampleForm, InstructConfig};
use crate::facts::{EntityFacts, Facts, Run, Sighting};
use crate::instruct::draft::Draft;
use crate::instruct::task::TaskKind;
use crate::language::nouns::{Grammar, capitalised, the};
use crate::language::rewrite::{Place, Referent, mask_question, verbs_are_plural};
use crate::language::verbs::{Form, agree, conjugate};

/// One video seen by one generator.
pub struct Context<'a> {
    /// The video.
    pub facts: &'a Facts,
    /// The configuration.
    pub cfg: &'a InstructConfig,
    rng: Rng,
    referable: Vec<usize>,
}

impl<'a> Context<'a> {
    /// A context whose draws depend on the seed, the video and the task alone.
    pub fn new(facts: &'a Facts, cfg: &'a InstructConfig) -> Self {
        let rng = Rng::new(cfg.seed, "engine").named(&facts.video.video_id);
        let mut context = Self { facts, cfg, rng, referable: Vec::new() };
        context.referable =
            (0..facts.entities.len()).filter(|&at| !context.pointers(at).is_empty()).collect();
        context
    }

    /// The stream of a purpose.
    pub fn rng(&self, purpose: &str) -> Rng {
        self.rng.named(purpose)
    }

    /// Entities that a mask can point at.
    pub fn referable(&self) -> &[usize] {
        &self.referable
    }

    /// Entities that are seen at all.
    pub fn seen(&self) -> impl Iterator<Item = usize> {
        (0..self.facts.entities.len()).filter(|&at| !self.entity(at).sightings.is_empty())
    }

    /// An entity by its position.
    pub fn entity(&self, at: usize) -> &'a EntityFacts {
        &self.facts.entities[at]
    }

    fn record(&self, at: usize) -> &'a Entity {
        &self.entity(at).entity
    }

    /// Frames whose masks are large enough to point at the entity.
    pub fn pointers(&self, at: usize) -> Vec<&'a Sighting> {
        let pixels = f64::from(self.facts.video.width) * f64::from(self.facts.video.height);
        let smallest = self.cfg.smallest_area * pixels;
        self.entity(at).sightings.iter().filter(|sighting| sighting.frame.area as f64 >= smallest).collect()
    }

    /// "the large red ball"
    pub fn name(&self, at: usize) -> String {
        the(&self.record(at).expression)
    }

    /// "the large red ball moves to the left", in the number of the noun.
    pub fn named_clause(&self, at: usize, predicate: &str) -> String {
        format!("{} {}", self.name(at), self.predicate(at, predicate))
    }

    /// "moves to the left", in the number of the noun.
    pub fn predicate(&self, at: usize, predicate: &str) -> String {
        agree(predicate, verbs_are_plural(self.record(at)))
    }

    /// "it moves to the left"
    pub fn clause(&self, at: usize, predicate: &str) -> String {
        let grammar = Grammar::of(self.record(at));
        format!("{} {}", grammar.pronoun(), agree(predicate, grammar.pronoun_plural()))
    }

    /// "it is"
    pub fn it_is(&self, at: usize) -> String {
        let grammar = Grammar::of(self.record(at));
        format!("{} {}", grammar.pronoun(), if grammar.pronoun_plural() { "are" } else { "is" })
    }

    /// "it does"
    pub fn it_does(&self, at: usize) -> String {
        let grammar = Grammar::of(self.record(at));
        format!("{} {}", grammar.pronoun(), if grammar.pronoun_plural() { "do" } else { "does" })
    }

    /// "it" or "they"
    pub fn pronoun(&self, at: usize) -> &'static str {
        Grammar::of(self.record(at)).pronoun()
    }

    /// Puts names into a template: `{0}` the name, `{do0}` "does" or "do", `{be0}` "is" or "are", for each entity.
    pub fn fill(&self, template: &str, entities: &[usize]) -> String {
        let mut text = template.to_owned();
        for (slot, &at) in entities.iter().enumerate() {
            let plural = verbs_are_plural(self.record(at));
            text = text
                .replace(&format!("{{{slot}}}"), &self.name(at))
                .replace(&format!("{{do{slot}}}"), if plural { "do" } else { "does" })
                .replace(&format!("{{be{slot}}}"), if plural { "are" } else { "is" });
        }
        capitalised(&text)
    }

    /// A question about masked entities; `None` when words would give one away.
    pub fn masked(&self, rng: &mut Rng, template: &str, entities: &[usize]) -> Option<String> {
        let places: &[Place] = match entities.len() {
            1 => &[Place::Alone, Place::Alone, Place::Inline, Place::Preface],
            _ => &[Place::Alone, Place::Inline],
        };
        let drawn = *rng.choose(places)?;
        let place = if self.varies(rng) { drawn } else { Place::Alone };
        let referents: Vec<Referent<'_>> = entities
            .iter()
            .enumerate()
            .map(|(region, &at)| Referent { entity: self.record(at), region })
            .collect();
        mask_question(&self.fill(template, entities), &referents, place).ok()
    }

    /// Whether an answer is short; always where it is scored by itself.
    pub fn brief(&self, rng: &mut Rng) -> bool {
        let drawn = rng.chance(self.cfg.brief_share);
        drawn || self.single()
    }

    /// A question about what somebody is doing, and its answer, short or as a sentence: `{when}` is put in by the
    /// caller, `{0}` is the entity.
    pub fn doing(&self, rng: &mut Rng, at: usize, predicate: &str) -> (String, String) {
        const BRIEF: [&str; 2] = ["What {be0} {0} doing {when}?", "{when}, what {be0} {0} doing?"];
        const LONG: [&str; 2] =
            ["Say in a sentence what {0} {be0} doing {when}.", "In a sentence, what {be0} {0} doing {when}?"];
        let progressive = conjugate(predicate, Form::Progressive);
        if self.brief(rng) {
            (self.wording(rng, &BRIEF).to_owned(), capitalised(&format!("{progressive}.")))
        } else {
            (self.wording(rng, &LONG).to_owned(), capitalised(&format!("{} {progressive}.", self.it_is(at))))
        }
    }

    /// A yes or no question with its answer, one word or with the reason.
    pub fn yes_or_no(&self, rng: &mut Rng, question: &str, is_true: bool, reason: &str) -> (String, String) {
        let word = if is_true { "Yes" } else { "No" };
        if self.brief(rng) {
            (format!("{question} Answer yes or no."), format!("{word}."))
        } else {
            (question.to_owned(), format!("{word}, {reason}"))
        }
    }

    /// Whether every question stands alone.
    pub fn single(&self) -> bool {
        self.cfg.form == SampleForm::SingleTurn
    }

    /// Whether the wording of a question is drawn; one that stands alone always has the plainest.
    fn varies(&self, rng: &mut Rng) -> bool {
        let drawn = rng.chance(self.cfg.varied_share);
        drawn && !self.single()
    }

    /// One of several wordings, the plainest of them first.
    pub fn wording<'t>(&self, rng: &mut Rng, templates: &[&'t str]) -> &'t str {
        let drawn = rng.below(templates.len());
        templates[if self.varies(rng) { drawn } else { 0 }]
    }

    /// Every predicate of the configuration and of the video, without repetitions.
    pub fn all_actions(&self) -> Vec<String> {
        let mut known = self.cfg.actions.clone();
        for (_, text) in self.facts.entities.iter().flat_map(EntityFacts::actions) {
            if !known.iter().any(|other| other == text) {
                known.push(text.to_owned());
            }
        }
        known
    }

    /// Whether an entity is ever seen to do something.
    pub fn ever_does(&self, at: usize, predicate: &str) -> bool {
        self.entity(at).actions().any(|(_, text)| text == predicate)
    }

    /// How a draft writes its times.
    pub fn style(&self, rng: &mut Rng) -> TimeStyle {
        rng.choose(&self.cfg.time_styles).copied().unwrap_or_default()
    }

    /// A moment in the middle of what holds.
    pub fn point(&self, rng: &mut Rng, span: &Span) -> f64 {
        let edge = (1.0 - self.cfg.middle) / 2.0 * span.length_s();
        millis(rng.range(span.start_s + edge, span.end_s - edge))
    }

    /// An interval inside what holds; `None` when both ends would be one temporal token.
    pub fn interval(&self, rng: &mut Rng, span: &Span) -> Option<Span> {
        let jitter = self.cfg.jitter * span.length_s();
        let (start, end) = (rng.uniform() * jitter, rng.uniform() * jitter);
        let span = Span { start_s: millis(span.start_s + start), end_s: self.within(span.end_s - end) };
        let token = |at_s: f64| {
            (f64::from(self.cfg.time_intervals) * (at_s / self.facts.duration_s())).round_ties_even()
        };
        (span.end_s > span.start_s && token(span.start_s) != token(span.end_s)).then_some(span)
    }

    /// Whole milliseconds, but never past the end of the video.
    pub fn within(&self, seconds: f64) -> f64 {
        millis(seconds).min(self.facts.duration_s())
    }

    /// Whether a run is long enough to be asked about.
    pub fn is_long(&self, run: &Run) -> bool {
        run.span.length_s() >= self.cfg.shortest_s
    }

    /// Whether a frame close to the moment shows the entity.
    pub fn sighted_at(&self, at: usize, moment_s: f64) -> bool {
        let step = match self.facts.index_space {
            IndexSpace::Uniform { n, .. } => self.facts.duration_s() / f64::from(n.max(2) - 1),
            IndexSpace::Source => 1.0 / self.facts.video.fps,
        };
        self.entity(at).sightings.iter().any(|sighting| (sighting.at_s - moment_s).abs() <= step)
    }

    /// Sets what is scored against another object: the entity and its answer.
    pub fn contrast(&self, mut draft: Draft, other: Option<(usize, String)>) -> Option<Draft> {
        draft.held_out = draft.regions.iter().any(|&at| self.entity(at).held_out());
        draft.other = other;
        (draft.other.is_some() || !self.cfg.contrast_only).then_some(draft)
    }

    /// How many of a task are wanted.
    pub fn wanted(&self, task: TaskKind) -> usize {
        self.cfg.tasks.get(&task).copied().unwrap_or(0)
    }
}

/// Whole milliseconds.
pub fn millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
