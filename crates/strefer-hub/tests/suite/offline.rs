//! Without the hub: what the cache has, and what it says when it has not.

use std::fs;
use std::path::PathBuf;

use strefer_hub::{Error, Event};

use crate::desk::Desk;
use crate::stand_in::{COMMIT, SMALL, StandIn, WEIGHTS};

/// Nobody listens at the first port.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A desk whose cache has the model, and the folder it was opened as.
fn full_desk() -> (StandIn, Desk, PathBuf) {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    let folder = desk.fetch("a/b").unwrap();
    hub.asked();
    (hub, desk, folder)
}

#[test]
fn offline_the_cache_answers_and_nobody_is_asked() {
    let (hub, mut desk, folder) = full_desk();
    desk.settings.offline = true;
    for model in ["a/b".to_owned(), format!("a/b@{COMMIT}")] {
        assert_eq!(desk.fetch(&model).unwrap(), folder);
    }
    assert!(hub.asked().is_empty());
}

#[test]
fn offline_what_is_not_in_the_cache_is_named() {
    let mut desk = Desk::new(NOWHERE);
    desk.settings.offline = true;
    let error = desk.fetch("a/b").unwrap_err();
    assert!(matches!(error, Error::NotCached { .. }), "{error}");
    assert!(error.to_string().contains("HF_HUB_OFFLINE") && error.to_string().contains("a/b"), "{error}");

    let (_hub, mut desk, folder) = full_desk();
    desk.settings.offline = true;
    let missing = |error: Error| match error {
        Error::NotCached { missing, .. } => missing,
        error => panic!("{error}"),
    };
    assert_eq!(missing(desk.fetch("a/b@other").unwrap_err()), "it");
    // A link to a blob that somebody has removed.
    fs::remove_file(desk.blob("model.safetensors", WEIGHTS)).unwrap();
    assert_eq!(missing(desk.fetch("a/b").unwrap_err()), "a file of weights");
    let index = r#"{"weight_map": {"x": "model-1.safetensors"}}"#;
    fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
    assert_eq!(missing(desk.fetch("a/b").unwrap_err()), "model-1.safetensors");
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    assert_eq!(missing(desk.fetch("a/b").unwrap_err()), "tokenizer.json");
}

#[test]
fn a_download_that_broke_is_not_taken_for_a_model() {
    let hub = StandIn::start(&SMALL);
    let mut desk = Desk::new(&hub.endpoint);
    hub.set(|state| state.break_in = Some(("model.safetensors", 20)));
    desk.fetch("a/b").unwrap_err();
    desk.settings.offline = true;
    let error = desk.fetch(&format!("a/b@{COMMIT}")).unwrap_err();
    assert!(matches!(error, Error::NotCached { .. }), "{error}");
}

#[test]
fn a_hub_that_does_not_answer_is_replaced_by_the_cache_and_that_is_said() {
    let (_hub, mut desk, folder) = full_desk();
    desk.settings.endpoint = NOWHERE.to_owned();
    let mut said = 0;
    let found = desk.watch("a/b", &mut |event| {
        if let Event::FromCache { error } = event {
            assert!(matches!(error, Error::Unavailable { .. }), "{error}");
            said += 1;
        }
    });
    assert_eq!((found.unwrap(), said), (folder, 1));

    let error = Desk::new(NOWHERE).fetch("a/b").unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

/// A model that the hub takes back is not served from the cache behind its owner's back.
#[test]
fn a_refusal_is_not_replaced_by_the_cache() {
    let (hub, desk, _) = full_desk();
    hub.set(|state| state.refuse = Some(("/api/models/", 404, "RepoNotFound")));
    let error = desk.fetch("a/b").unwrap_err();
    assert!(matches!(error, Error::NoModel { .. }), "{error}");
}
