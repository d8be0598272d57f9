//! Captions in both layouts, and METEOR.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use strefer_core::golden;

use super::{Desk, cell, near, read};

#[test]
fn captions_print_the_recorded_scores_in_both_layouts() {
    let desk = Desk::new();
    let mut sets = 0;
    for dir in golden::dirs("captioning") {
        let names = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        for path in names.filter(|path| path.to_string_lossy().ends_with("_expected.json")) {
            let items = read(&PathBuf::from(path.to_string_lossy().replace("_expected.json", ".json")));
            let mut expected = read(&path)["corpus"].clone();
            expected.as_object_mut().unwrap().remove("METEOR");
            let ids: Vec<&Value> = items.as_array().unwrap().iter().map(|item| &item["id"]).collect();
            let lines = |name: &str, key: &str| {
                let line = |item: &Value| json!({"id": item["id"], key: item[key]});
                desk.write_lines(name, &items.as_array().unwrap().iter().map(line).collect::<Vec<_>>())
            };
            let (truth, said) = (lines("truth.jsonl", "references"), lines("said.jsonl", "prediction"));
            near(&desk.json("captions", &said, &truth, &[])["metrics"], &expected);
            let table = desk.table("captions", &said, &truth, &[]);
            assert!(table.contains("METEOR is left out"), "{table}");
            let cider = expected["CIDEr"].as_f64().unwrap();
            assert_eq!(cell(&table, "CIDEr", 1), format!("{cider:.3}"));

            let coco = |id: &Value, text: &Value| json!({"image_id": id, "caption": text});
            let (mut sentences, mut results) = (Vec::new(), Vec::new());
            for item in items.as_array().unwrap() {
                let references = item["references"].as_array().unwrap();
                sentences.extend(references.iter().map(|text| coco(&item["id"], text)));
                results.push(coco(&item["id"], &item["prediction"]));
            }
            let all = json!({"images": ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>(), "annotations": sentences});
            let truth = desk.write("truth.json", &all.to_string());
            let said = desk.write("said.json", &Value::from(results).to_string());
            near(&desk.json("captions", &said, &truth, &[])["metrics"], &expected);
            sets += 1;
        }
    }
    assert!(sets > 0);
}

#[test]
#[cfg(unix)]
fn meteor_and_spice_are_asked_of_their_jars() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new();
    let truth = desk.write("truth.jsonl", "{\"id\":1,\"references\":[\"a dog\"]}\n");
    let said = desk.write("said.jsonl", "{\"id\":1,\"prediction\":\"a cat\"}\n");
    let none = desk.run("captions", &said, &truth, &["--meteor", "nowhere.jar"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("cannot read nowhere.jar"));
    let none = desk.run("captions", &said, &truth, &["--spice", "nowhere.jar"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("cannot read nowhere.jar"));
    // A stand-in for Java that answers everything with a number, or writes one where it is told to.
    let java = desk.write(
        "java",
        r#"#!/bin/sh
while [ $# -gt 0 ]; do
  [ "$1" = -out ] && { echo '[{"image_id":0,"scores":{"All":{"f":0.125}}}]' > "$2"; exit; }
  shift
done
while read -r line; do echo 0.25; case $line in EVAL*) echo 0.5;; esac; done
"#,
    );
    std::fs::set_permissions(&java, std::fs::Permissions::from_mode(0o755)).unwrap();
    let jar = desk.write("meteor.jar", "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
    let path = format!("{}:{}", desk.0.path().display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).args(["score", "captions", &said, "--annotations", &truth]);
    command.args(["--meteor", &jar, "--spice", &jar]);
    let output = command.output().unwrap();
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(cell(&table, "METEOR", 1), "0.500", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(cell(&table, "SPICE", 1), "0.125");
    assert!(!table.contains("left out"), "{table}");
}
