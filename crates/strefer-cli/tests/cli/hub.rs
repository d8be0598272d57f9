//! Models of the hub on the command line. What is downloaded, and how, is tested in `strefer-hub`.

use std::path::Path;
use std::process::{Command, Output};

fn strefer(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
    command.current_dir(dir).env("HF_HUB_CACHE", dir.join("cache")).args(args);
    command.output().expect("the program starts")
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it should have failed");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[cfg(not(feature = "hub"))]
fn a_program_without_the_hub_says_how_to_get_one() {
    let dir = tempfile::tempdir().unwrap();
    let said = complaint(&strefer(dir.path(), &["convert", "hf:a/b"]));
    assert!(said.contains("hf:a/b") && said.contains("--features hub"), "{said}");
}

#[test]
#[cfg(feature = "hub")]
fn a_model_of_the_hub_is_opened_from_the_cache() {
    use std::fs;

    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| strefer(dir.path(), args);
    for (model, expected) in [("hf:a/b", "HF_HUB_OFFLINE"), ("hf:a", "OWNER/NAME"), ("hf:a/b@..", "revision")]
    {
        let said = complaint(&run(&["convert", model, "--offline"]));
        assert!(said.contains(expected), "{said}");
    }

    let record = r#"{"type": "sample", "schema": "strefer/1", "id": "a", "video_id": "v", "media": [],
        "conversations": [{"role": "user", "text": "What is it?"}, {"role": "assistant", "text": "A disc."}]}"#;
    fs::write(dir.path().join("samples.jsonl"), record.replace('\n', " ") + "\n").unwrap();
    let init = run(&["init", "--text", "samples.jsonl", "--vocab", "400", "--out", "model"]);
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let cached = dir.path().join("cache/models--a--b");
    fs::create_dir_all(cached.join("refs")).unwrap();
    fs::write(cached.join("refs/main"), commit).unwrap();
    fs::create_dir_all(cached.join("snapshots")).unwrap();
    fs::rename(dir.path().join("model"), cached.join("snapshots").join(commit)).unwrap();
    for model in ["hf:a/b".to_owned(), format!("hf:a/b@{commit}")] {
        let listed = run(&["convert", &model, "--offline"]);
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        assert!(String::from_utf8_lossy(&listed.stdout).contains("language_model."));
    }
}
