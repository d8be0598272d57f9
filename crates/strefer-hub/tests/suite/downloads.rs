//! What is downloaded, once, and how a download that broke goes on.

use std::fs;

use strefer_hub::{Error, Event, Token};

use crate::desk::{Desk, read_all};
use crate::stand_in::{COMMIT, SMALL, StandIn, WEIGHTS, own};

#[test]
fn a_model_is_downloaded_once_and_opened_as_a_folder() {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    let folder = desk.fetch("a/b").unwrap();
    assert_eq!(folder, desk.model().join("snapshots").join(COMMIT));
    assert_eq!(read_all(&folder), own(&SMALL[..3]));
    assert_eq!(fs::read_to_string(desk.model().join("refs/main")).unwrap(), COMMIT);
    assert_eq!(hub.files_asked(), ["config.json", "tokenizer.json", "model.safetensors"]);

    assert_eq!(desk.fetch("a/b").unwrap(), folder);
    let asked = hub.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].path, "/api/models/a/b/revision/main?blobs=true");
}

#[test]
#[cfg(unix)]
fn the_cache_is_laid_out_as_the_hubs_own_programs_do() {
    let note = ("origin/strefer.json", "{\"layout\": 1}");
    let hub = StandIn::start(&[&SMALL[..], &[note]].concat());
    let desk = Desk::new(&hub.endpoint);
    let folder = desk.fetch("a/b").unwrap();
    for (name, up) in [("model.safetensors", "../../blobs"), ("origin/strefer.json", "../../../blobs")] {
        let link = fs::read_link(folder.join(name)).unwrap();
        let text = if name == note.0 { note.1 } else { WEIGHTS };
        assert_eq!(link.parent().unwrap().to_str().unwrap(), up);
        assert_eq!(fs::read_to_string(desk.blob(name, text)).unwrap(), text);
        assert_eq!(link.file_name(), desk.blob(name, text).file_name());
    }
    assert!(!desk.blobs().iter().any(|name| name.ends_with(".incomplete")), "{:?}", desk.blobs());
}

#[test]
fn shards_are_those_that_the_index_names() {
    let index = r#"{"weight_map": {"x": "model-2.safetensors", "y": "model-1.safetensors"}}"#;
    let all = [
        ("config.json", "{}"),
        ("tokenizer.json", "{}"),
        ("model.safetensors.index.json", index),
        ("model-1.safetensors", "one"),
        ("model-2.safetensors", "two"),
        ("model-3.safetensors", "left over"),
        ("pytorch_model.bin", "the same once more"),
    ];
    let hub = StandIn::start(&all);
    let desk = Desk::new(&hub.endpoint);
    assert_eq!(read_all(&desk.fetch("a/b").unwrap()), own(&all[..5]));
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    hub.set(|state| state.break_in = Some(("model.safetensors", 20)));
    let error = desk.fetch("a/b").unwrap_err();
    assert!(matches!(error, Error::Broken { received: 20, .. }), "{error}");
    assert!(error.to_string().contains("a/b") && error.to_string().contains("model.safetensors"), "{error}");
    assert!(!desk.blob("model.safetensors", WEIGHTS).exists());
    assert!(desk.blobs().contains(&"WEIGHTS.incomplete".to_owned()), "{:?}", desk.blobs());
    assert!(!desk.model().join("refs/main").exists());
    hub.asked();

    let mut begun = Vec::new();
    let folder = desk.watch("a/b", &mut |event| {
        if let Event::Begin { file, size, present } = event {
            begun.push((file.to_owned(), size, present));
        }
    });
    assert_eq!(read_all(&folder.unwrap()), own(&SMALL[..3]));
    assert_eq!(begun, [("model.safetensors".to_owned(), WEIGHTS.len() as u64, 20)]);
    let asked = hub.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[1].range.as_deref(), Some("bytes=20-"));
    assert!(!desk.blobs().contains(&"WEIGHTS.incomplete".to_owned()), "{:?}", desk.blobs());
}

#[test]
fn one_call_tries_again_by_itself() {
    let hub = StandIn::start(&SMALL);
    let mut desk = Desk::new(&hub.endpoint);
    desk.settings.attempts = 2;
    hub.set(|state| state.break_in = Some(("model.safetensors", 7)));
    let (mut retries, mut received) = (0, 0);
    let folder = desk.watch("a/b", &mut |event| match event {
        Event::Retry { error } => {
            assert!(matches!(error, Error::Broken { received: 7, .. }), "{error}");
            retries += 1;
        }
        Event::Received { bytes } => received += bytes,
        _ => {}
    });
    assert_eq!(read_all(&folder.unwrap()), own(&SMALL[..3]));
    let all: usize = SMALL[..3].iter().map(|(_, text)| text.len()).sum();
    assert_eq!((retries, received), (1, all as u64));
}

#[test]
fn a_server_that_sends_everything_again_is_read_from_the_start() {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    hub.set(|state| state.break_in = Some(("model.safetensors", 20)));
    desk.fetch("a/b").unwrap_err();
    hub.set(|state| state.ignore_range = true);
    assert_eq!(read_all(&desk.fetch("a/b").unwrap()), own(&SMALL[..3]));
}

#[test]
fn a_file_that_lies_elsewhere_is_fetched_there_without_the_token() {
    let hub = StandIn::start(&SMALL);
    let mut desk = Desk::new(&hub.endpoint);
    desk.settings.token = Token::new("secret");
    hub.set(|state| {
        state.redirect = true;
        state.break_in = Some(("model.safetensors", 20));
    });
    desk.fetch("a/b").unwrap_err();
    hub.asked();
    desk.fetch("a/b").unwrap();
    let asked = hub.asked();
    let tokens: Vec<Option<&str>> = asked.iter().map(|asked| asked.token.as_deref()).collect();
    assert_eq!(tokens, [Some("Bearer secret"), Some("Bearer secret"), None]);
    assert_eq!(asked[2].path, "/elsewhere/model.safetensors");
    assert_eq!(asked[2].range.as_deref(), Some("bytes=20-"));
}

#[test]
fn a_pinned_commit_leaves_no_branch_behind() {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    let folder = desk.fetch(&format!("a/b@{COMMIT}")).unwrap();
    assert_eq!(folder, desk.model().join("snapshots").join(COMMIT));
    assert!(!desk.model().join("refs").exists());
    assert!(hub.asked()[0].path.contains(COMMIT));
}

#[test]
fn a_branch_with_a_slash_is_one_revision() {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    desk.fetch("a/b@refs/pr/1").unwrap();
    assert_eq!(hub.asked()[0].path, "/api/models/a/b/revision/refs%2Fpr%2F1?blobs=true");
    assert_eq!(fs::read_to_string(desk.model().join("refs/refs/pr/1")).unwrap(), COMMIT);
}

#[test]
fn a_branch_that_moved_costs_only_what_is_new() {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    let old = desk.fetch("a/b").unwrap();
    let moved = "f".repeat(40);
    hub.asked();
    hub.set(|state| {
        state.commit.clone_from(&moved);
        state.files.insert("config.json".to_owned(), "{\"new\": 1}".to_owned());
    });
    let new = desk.fetch("a/b").unwrap();
    assert_eq!(hub.files_asked(), ["config.json"]);
    assert_eq!(read_all(&old)["config.json"], "{}");
    assert_eq!(read_all(&new)["config.json"], "{\"new\": 1}");
    assert_eq!(read_all(&new)["model.safetensors"], WEIGHTS);
    assert_eq!(fs::read_to_string(desk.model().join("refs/main")).unwrap(), moved);
}
