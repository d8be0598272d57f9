//! Samples that show nothing, alone and beside samples that show something.

use candle_core::DType;
use strefer_core::mixture::Turns;
use strefer_core::sample::{Media, Role, TimeRef, TimeStyle, Turn};
use strefer_core::{Rng, Sample};
use strefer_llm::GenerationConfig;
use strefer_model::{Checkpoint, Inputs, Loaded, ProcessorOptions, Purpose, VideoLlm, prefix};
use strefer_nn::ParamStore;
use strefer_nn::testing::device;

use super::place::{fresh_tiny, still};

struct Desk {
    dir: tempfile::TempDir,
    loaded: Loaded,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let loaded = fresh_tiny(dir.path(), "Who is it? A dog.");
        Self { dir, loaded }
    }

    fn text(&self) -> Sample {
        talk("text", Vec::new(), "What is a dog?")
    }

    fn still(&self) -> Sample {
        talk("still", vec![still(self.dir.path())], "<video>\nWho is it?")
    }

    fn inputs(&self, sample: &Sample, turns: Turns) -> Inputs {
        let options = ProcessorOptions { turns, ..ProcessorOptions::default() };
        let processor = self.loaded.processor.with_options(options);
        processor.process(sample, &Purpose::Train(Rng::new(1, "test"))).unwrap()
    }

    fn loss(&self, batch: &[Inputs]) -> (f32, usize) {
        let (sum, count) = self.loaded.model.loss(batch).unwrap();
        (sum.to_scalar::<f32>().unwrap(), count)
    }
}

fn talk(id: &str, media: Vec<Media>, question: &str) -> Sample {
    let mut sample = Sample::new(id, id, media);
    let turn = |role, text: &str| Turn { role, text: text.to_owned() };
    sample.conversations = vec![
        turn(Role::User, question),
        turn(Role::Assistant, "A dog."),
        turn(Role::User, "Why?"),
        turn(Role::Assistant, "It barks."),
    ];
    sample
}

#[test]
fn text_is_learnt_alone_as_beside_a_picture() {
    let desk = Desk::new();
    for turns in [Turns::Conversation, Turns::Independent] {
        let (text, still) = (desk.inputs(&desk.text(), turns), desk.inputs(&desk.still(), turns));
        assert!(text.shown.is_empty() && text.supervised() == still.supervised());
        let (alone, beside) =
            (desk.loss(std::slice::from_ref(&text)), desk.loss(std::slice::from_ref(&still)));
        for batch in [[text.clone(), still.clone()], [still, text]] {
            let (sum, count) = desk.loss(&batch);
            assert_eq!(count, alone.1 + beside.1);
            assert!((sum - alone.0 - beside.0).abs() < 1e-4 * sum, "{turns:?}: {sum} {alone:?} {beside:?}");
        }
    }
}

#[test]
fn text_alone_moves_the_language_model_and_nothing_else() {
    let desk = Desk::new();
    let checkpoint = Checkpoint::open(desk.dir.path().join("model")).unwrap();
    let store = ParamStore::new(0, device(), DType::F32)
        .with_weights(checkpoint.weights().unwrap())
        .trainable(|_| true);
    let model = VideoLlm::new(&checkpoint.config, store.var_builder()).unwrap();
    let (loss, _) = model.loss(&[desk.inputs(&desk.text(), Turns::Conversation)]).unwrap();
    let grads = loss.backward().unwrap();
    for (name, var) in store.vars() {
        assert_eq!(grads.get(&var).is_some(), name.starts_with(prefix::LANGUAGE), "{name}");
    }
}

#[test]
fn a_question_without_a_picture_is_answered() {
    let desk = Desk::new();
    let inputs = desk.loaded.processor.process(&desk.text(), &Purpose::Infer).unwrap();
    let how = GenerationConfig { max_new_tokens: 3, ..GenerationConfig::default() };
    let tokens = desk.loaded.model.generate(&inputs, &how, |_| std::ops::ControlFlow::Continue(())).unwrap();
    assert_eq!(tokens.len(), 3);
}

#[test]
fn text_that_points_at_nothing_is_refused() {
    let desk = Desk::new();
    let refused =
        |sample: &Sample| desk.loaded.processor.process(sample, &Purpose::Infer).unwrap_err().to_string();
    let mut timed = desk.text();
    timed.conversations[0].text = "What happens at <time:0>?".to_owned();
    timed.times = vec![TimeRef { tid: 0, s: 1.0, rel_to: "media:0".to_owned(), style: TimeStyle::Seconds }];
    assert!(refused(&timed).contains("shows nothing"), "{}", refused(&timed));
    let mut shown = desk.text();
    shown.conversations[0].text = "<video>\nWho is it?".to_owned();
    assert!(refused(&shown).contains("media"), "{}", refused(&shown));
}
