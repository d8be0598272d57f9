//! Models of other houses: what they are shown and told.

use std::sync::{Arc, Mutex};

use image::{Rgb, RgbImage};
use serde_json::json;
use strefer_eval::answer::{Answerer, Ask, Server, ServerOptions};
use strefer_eval::bench::{BenchId, View, Views};
use strefer_model::ProcessorOptions;
use strefer_teacher::{Answer, Fault, Part, Question, Rules};

use crate::stand_in::Root;

/// Six frames of 96 by 64 pixels, each of one shade, and an object in frame 2.
fn benchmark(root: &Root) {
    for frame in 0..6_u8 {
        let path = root.path().join(format!("videorefer/clip/{frame:05}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(96, 64, Rgb([40 * frame; 3])).save(path).unwrap();
    }
    // Columns 30 to 59 of the frame.
    let mask = json!({"size": [64, 96], "counts": [64 * 30, 64 * 30, 64 * 36]});
    let record = json!({"id": 1, "video": "clip", "type": "Basic Questions", "Question": "What is <object1><region>?",
        "options": ["(A) a box", "(B) a ball"], "Answer": "(B) a ball", "frame_idx": 2, "annotation": [{"2": {"segmentation": mask}}]});
    root.json("videorefer/VideoRefer-Bench-Q.json", json!([record]));
}

#[test]
fn servers_see_frames_with_drawn_objects_and_read_plain_words() {
    let root = Root::new();
    benchmark(&root);
    let asked: Arc<Mutex<Vec<Question>>> = Arc::default();
    let kept = Arc::clone(&asked);
    let teacher = Rules::new("somebody", move |question: &Question| {
        kept.lock().unwrap().push(question.clone());
        if question.words().contains("be silent") {
            Err(Fault::Budget("over".into()))
        } else {
            Ok(Answer::of(" B "))
        }
    });
    let reading = ProcessorOptions { media_root: root.path().to_owned(), ..ProcessorOptions::default() };
    let options = ServerOptions { frames: 3, reading, longest_side: 48, in_flight: 5 };
    let server = Server::new(Arc::new(teacher), options);
    let bench = root.open(BenchId::VideoreferQ);
    let views = Views::new(&*bench, 0);
    let ask = |view: View| {
        let put = views.put(view, 0).unwrap();
        let item = &bench.items()[0];
        Ask { id: "1".into(), put, max_new_tokens: item.max_new_tokens, offer: item.offer.clone() }
    };
    assert_eq!((server.lanes(), server.facts()["model"].as_str()), (5, Some("somebody")));
    let mut pictures = Vec::new();
    for view in [View::Real, View::NoVideo, View::Reversed] {
        let said = server.answer(server.prepare(ask(view)).unwrap()).unwrap();
        // The object's frame takes the place of the nearest one.
        let order = if view == View::Reversed { [5, 2, 0] } else { [0, 2, 5] };
        assert_eq!((said.text.as_str(), said.frame_indices.as_slice()), ("B", &order[..]));
        let question = asked.lock().unwrap().pop().unwrap();
        assert_eq!(said.prompt, question.words());
        let words = "One object is outlined in red and carries the number 1.\nWhat is <object1>[object 1]? (A) a box (B) a ball.";
        assert!(said.prompt.starts_with(words), "{}", said.prompt);
        let Part::Clip(clip) = &question.parts[0] else { panic!("frames come first") };
        assert_eq!((clip.frames.len(), clip.total), (3, 6));
        pictures.push(image::load_from_memory(&clip.frames[1]).unwrap().into_rgb8());
    }
    let red =
        |picture: &RgbImage| picture.pixels().filter(|it| i32::from(it[0]) - i32::from(it[1]) > 60).count();
    assert_eq!(pictures[0].dimensions(), (48, 32));
    assert!(red(&pictures[0]) > 10 && red(&pictures[1]) == 0 && red(&pictures[2]) > 10);

    let mut silent = ask(View::Real);
    silent.put.sample.conversations[0].text = "<video>\n<region:0> be silent".into();
    let error = server.answer(server.prepare(silent).unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("item 1: ") && error.contains("budget"), "{error}");
}
