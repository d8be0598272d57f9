//! VideoRefer-Bench-D's questions to a judge: it reads the reference and the description, and rates.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::bench_d::{Judgement, Question};
use crate::coverage::{Unmatched, pair};
use crate::error::Result;
use crate::judge::Judge;
use crate::records::BenchRecord;

/// A model's description of an object: as the benchmark's script writes it (`video`, `caption`, `pred`), or with the `id`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Description {
    /// The object.
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    video: String,
    #[serde(default)]
    caption: String,
    /// What the model says.
    #[serde(alias = "answer", alias = "text")]
    pred: String,
}

impl BenchRecord for Description {
    fn key(&self) -> String {
        self.id.map_or_else(|| format!("{} {:?}", self.video, self.caption), |id| id.to_string())
    }

    fn fault(&self) -> Option<String> {
        let unnamed = self.id.is_none() && (self.video.is_empty() || self.caption.is_empty());
        unnamed.then(|| "it has no id, and no video and caption to find it by".to_owned())
    }
}

/// Gives descriptions that have none their ids: those of the same video and reference.
pub fn with_ids(mut descriptions: Vec<Description>, questions: &[Question]) -> Vec<Description> {
    let ids: HashMap<(&str, &str), u64> =
        questions.iter().map(|it| ((it.video.as_str(), it.caption.as_str()), it.id)).collect();
    for description in &mut descriptions {
        let named = (description.video.as_str(), description.caption.as_str());
        description.id = description.id.or_else(|| ids.get(&named).copied());
    }
    descriptions
}

/// Descriptions without a reply of the judge: the kind of fault, and of each the id and the reason.
pub type Silent = BTreeMap<&'static str, Vec<(u64, String)>>;

/// What a judge has to compare: the reference, and what a model says.
pub(crate) fn comparison(truth: &Question, said: &str) -> String {
    format!("Correct answer: {}\nPredicted answer: {said}", truth.caption)
}

impl Judge<'_> {
    /// Has all descriptions rated; `each` is called after each of them. A description that the judge gives no reply to has
    /// none: nothing is guessed.
    ///
    /// # Errors
    /// Descriptions and questions that do not belong together, see [`Unmatched`].
    pub fn rate(
        &self,
        questions: &[Question],
        descriptions: &[Description],
        unmatched: Unmatched,
        each: &(dyn Fn() + Sync),
    ) -> Result<(Vec<Judgement>, Silent)> {
        let paired = pair(questions, descriptions, unmatched)?.pairs;
        let asked: Vec<String> = paired.iter().map(|(truth, said)| comparison(truth, &said.pred)).collect();
        let (mut judgements, mut silent) = (Vec::with_capacity(paired.len()), Silent::new());
        for ((truth, _), reply) in paired.iter().zip(self.ask(&asked, each)) {
            let reply = reply
                .map_err(|fault| {
                    silent.entry(fault.kind()).or_default().push((truth.id, fault.to_string()));
                })
                .ok();
            judgements.push(Judgement { id: truth.id, reply });
        }
        Ok((judgements, silent))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use strefer_teacher::{Answer, Fault, Prompt, Rules, Sampling};

    use super::*;
    use crate::videorefer::bench_d::score;

    fn questions() -> Vec<Question> {
        let question =
            |id, caption: &str| Question { id, video: format!("{id}.mp4"), caption: caption.to_owned() };
        vec![question(1, "A dog."), question(2, "A cat."), question(3, "A fox.")]
    }

    fn descriptions(lines: &[&str]) -> Vec<Description> {
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_judge_rates_what_it_is_shown_and_nothing_is_guessed_where_it_does_not() {
        let judge = Rules::new("judge", |question: &strefer_teacher::Question| {
            assert_eq!(question.system.as_deref(), Some("Rate {{ it }}."));
            let words = question.words();
            let reply = match words.as_str() {
                "Correct answer: A dog.\nPredicted answer: A dog runs." => {
                    "1. Subject Correspondence: 5\n2. Appearance Description: 4\n3. Temporal Description: 3\n\
                     4. Hallucination Detection: 2"
                }
                "Correct answer: A cat.\nPredicted answer: A dog." => "I would rather not say.",
                _ => return Err(Fault::Budget("3 of 3 asks".to_owned())),
            };
            Ok(Answer::of(reply))
        });
        let questions = questions();
        let said = descriptions(&[
            r#"{"video": "2.mp4", "caption": "A cat.", "pred": "A dog."}"#,
            r#"{"id": 1, "answer": "A dog runs."}"#,
            r#"{"id": 3, "text": "A fox."}"#,
        ]);
        let said = with_ids(said, &questions);
        let prompt = Prompt::new("judge", "Rate {{ it }}.\n");
        let sampling = Sampling { max_tokens: 800, ..Sampling::default() };
        let judge = Judge { teacher: &judge, prompt: &prompt, sampling, threads: 3 };
        let count = AtomicUsize::new(0);
        let each = || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let (judgements, silent) = judge.rate(&questions, &said, Unmatched::default(), &each).unwrap();
        assert_eq!((judgements.len(), count.load(Ordering::Relaxed)), (3, 3));
        assert_eq!(silent["budget"][0].0, 3);
        let scores = score(&questions, &judgements, Unmatched::default()).unwrap();
        let means: Vec<Option<f64>> = scores.axes.iter().map(|axis| axis.mean).collect();
        assert_eq!(means, [5.0, 4.0, 3.0, 2.0].map(Some));
        assert_eq!(
            (scores.axes[0].unparsed.as_slice(), scores.without_reply.as_slice()),
            (&[2][..], &[3][..])
        );
        assert_eq!(judge.to_json()["sampling"]["max_tokens"], 800);
        assert!(judge.rate(&questions, &said[..2], Unmatched::default(), &each).is_err());
        assert!(descriptions(&[r#"{"pred": "A dog."}"#])[0].fault().is_some());
    }
}
