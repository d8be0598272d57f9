//! What cannot be had, and that nothing wrong gets a final name.

use std::fs::{self, File};
use std::time::Duration;

use strefer_hub::{Error, Token};

use crate::desk::{Desk, read_all};
use crate::stand_in::{SMALL, StandIn, WEIGHTS, own};

/// As long as the right weights.
const FORGED: &str = "A ROW OF WEIGHTS THAT IS LONG ENOUGH TO BREAK IN THE MIDDLE OF IT";

#[test]
fn a_wrong_checksum_is_refused_and_nothing_stays() {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    hub.set(|state| state.swap = Some(("model.safetensors", FORGED)));
    let error = desk.fetch("a/b").unwrap_err();
    assert!(matches!(&error, Error::Checksum { file, .. } if file == "model.safetensors"), "{error}");
    assert!(!desk.blobs().iter().any(|name| name.starts_with("WEIGHTS")), "{:?}", desk.blobs());
    assert!(!desk.model().join("refs/main").exists());

    hub.set(|state| state.swap = None);
    assert_eq!(read_all(&desk.fetch("a/b").unwrap()), own(&SMALL[..3]));
}

#[test]
fn a_checksum_covers_what_an_earlier_call_has_left() {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    hub.set(|state| {
        state.swap = Some(("model.safetensors", FORGED));
        state.break_in = Some(("model.safetensors", 20));
    });
    desk.fetch("a/b").unwrap_err();
    hub.set(|state| state.swap = None);
    let error = desk.fetch("a/b").unwrap_err();
    assert!(matches!(error, Error::Checksum { .. }), "{error}");
    assert_eq!(read_all(&desk.fetch("a/b").unwrap()), own(&SMALL[..3]));
}

#[test]
fn another_size_is_refused_before_anything_is_written() {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    hub.set(|state| state.swap = Some(("config.json", "<html>Please log in to this network</html>")));
    let error = desk.fetch("a/b").unwrap_err();
    assert!(matches!(error, Error::Size { expected: 2, found: 42, .. }), "{error}");
    assert!(!desk.blob("config.json", "{}").exists());
    hub.set(|state| state.swap = None);
    desk.fetch("a/b").unwrap();
}

#[test]
fn refusals_say_what_is_missing() {
    let hub = StandIn::start(&SMALL);
    let mut desk = Desk::new(&hub.endpoint);
    let mut complaint = |token: Option<&str>, path, status, code| {
        desk.settings.token = token.and_then(Token::new);
        hub.set(|state| state.refuse = Some((path, status, code)));
        desk.fetch("a/b@v2").unwrap_err()
    };
    let api = "/api/models/";
    let error = complaint(None, api, 401, "");
    assert!(matches!(error, Error::NoModel { .. }), "{error}");
    assert!(error.to_string().contains("a/b") && error.to_string().contains("HF_TOKEN"), "{error}");
    let error = complaint(Some("old"), api, 401, "");
    assert!(matches!(error, Error::Token { .. }), "{error}");
    assert!(!error.to_string().contains("old"), "{error}");
    let error = complaint(None, api, 404, "RepoNotFound");
    assert!(matches!(error, Error::NoModel { .. }), "{error}");
    let error = complaint(None, api, 404, "RevisionNotFound");
    assert!(matches!(&error, Error::NoRevision { revision, .. } if revision == "v2"), "{error}");
    for (status, token) in [(401, None), (403, Some("mine"))] {
        let error = complaint(token, "/resolve/", status, "GatedRepo");
        let page = format!("{}/a/b", hub.endpoint);
        assert!(matches!(&error, Error::Gated { page: found, .. } if *found == page), "{error}");
    }
    let error = complaint(None, "/resolve/", 404, "EntryNotFound");
    assert!(matches!(&error, Error::NoFile { file, .. } if file == "config.json"), "{error}");
    let error = complaint(None, api, 503, "");
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let error = complaint(None, api, 418, "");
    assert!(matches!(error, Error::Status { status: 418, .. }), "{error}");
}

#[test]
fn a_model_that_cannot_be_opened_is_not_downloaded() {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    for name in ["config.json", "tokenizer.json"] {
        hub.set(|state| {
            state.files = own(&SMALL);
            state.files.remove(name);
        });
        let error = desk.fetch("a/b").unwrap_err();
        assert!(matches!(&error, Error::NoFile { file, .. } if file == name), "{error}");
    }
    hub.set(|state| state.files = own(&SMALL[..2]));
    let error = desk.fetch("a/b").unwrap_err();
    assert!(matches!(error, Error::NoWeights { .. }), "{error}");
    assert!(hub.files_asked().is_empty());
}

#[test]
fn an_index_that_leads_elsewhere_is_refused() {
    let small = [("config.json", "{}"), ("tokenizer.json", "{}")];
    for index in ["[]", r#"{"weight_map": {"x": "../../x"}}"#] {
        let hub = StandIn::start(&[&small[..], &[("model.safetensors.index.json", index)]].concat());
        let error = Desk::new(&hub.endpoint).fetch("a/b").unwrap_err();
        assert!(matches!(error, Error::Index { .. }), "{error}");
    }
    let index = r#"{"weight_map": {"x": "model-9.safetensors"}}"#;
    let hub = StandIn::start(&[&small[..], &[("model.safetensors.index.json", index)]].concat());
    let error = Desk::new(&hub.endpoint).fetch("a/b").unwrap_err();
    assert!(matches!(&error, Error::NoFile { file, .. } if file == "model-9.safetensors"), "{error}");
}

#[test]
fn a_listing_that_cannot_be_meant_is_refused() {
    let hub = StandIn::start(&SMALL);
    hub.set(|state| state.commit = "../../main".to_owned());
    let error = Desk::new(&hub.endpoint).fetch("a/b").unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error}");
}

#[test]
fn two_programs_do_not_write_one_file() {
    let hub = StandIn::start(&SMALL);
    let desk = Desk::new(&hub.endpoint);
    let name = desk.blob("model.safetensors", WEIGHTS).file_name().unwrap().to_str().unwrap().to_owned();
    let locks = desk.dir.path().join(".locks/models--a--b");
    fs::create_dir_all(&locks).unwrap();
    let other = File::create(locks.join(format!("{name}.lock"))).unwrap();
    other.lock().unwrap();
    let error = desk.fetch("a/b").unwrap_err();
    assert!(matches!(&error, Error::Busy { file, .. } if file == "model.safetensors"), "{error}");
    other.unlock().unwrap();
    desk.fetch("a/b").unwrap();
}

/// The stand-in never goes on, so the test ends only if the client gives up.
#[test]
fn a_server_that_falls_silent_is_given_up() {
    let hub = StandIn::start(&SMALL);
    let mut desk = Desk::new(&hub.endpoint);
    desk.settings.silence = Duration::from_millis(500);
    hub.set(|state| state.stall_in = Some("config.json"));
    let error = desk.fetch("a/b").unwrap_err();
    assert!(matches!(error, Error::Broken { .. } | Error::Unavailable { .. }), "{error}");
}

#[test]
#[cfg(not(feature = "tls"))]
fn https_needs_its_feature() {
    let error = Desk::new("https://huggingface.co").fetch("a/b").unwrap_err();
    assert!(matches!(error, Error::NoTls { .. }), "{error}");
}
