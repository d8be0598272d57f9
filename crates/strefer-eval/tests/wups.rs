//! Short answers compared in a small WordNet, by hand; and in WordNet itself, as NLTK compares them.

use std::path::Path;

use serde_json::{Value, json};
use strefer_eval::Unmatched;
use strefer_eval::bench::{BenchId, BenchOptions};
use strefer_eval::records::Reply;
use strefer_eval::wups::{WordNet, Wups, wups};

/// Writes a part of speech: words, each with the words that are wider.
fn write_part(dir: &Path, name: &str, letter: char, words: &[(&str, &[&str])], exceptions: &str) {
    let licence = "  1 This is a licence.\n";
    let line = |word: &str, wider: &[&str], place: &dyn Fn(&str) -> usize| {
        let pointers: String = wider.iter().map(|it| format!("@ {:08} {letter} 0000 ", place(it))).collect();
        format!(
            "{:08} 03 {letter} 01 {word} 0 {:03} {pointers}| a {word} | made up  \n",
            place(word),
            wider.len()
        )
    };
    // Places have eight digits whatever they are, so lengths are known before them.
    let mut starts = vec![licence.len()];
    for (word, wider) in words {
        starts.push(starts[starts.len() - 1] + line(word, wider, &|_| 0).len());
    }
    let place = |word: &str| starts[words.iter().position(|(known, _)| *known == word).unwrap()];
    let data: String = words.iter().map(|(word, wider)| line(word, wider, &place)).collect();
    let index = words.iter().map(|(word, _)| format!("{word} {letter} 1 2 @ ~ 1 0 {:08}  \n", place(word)));
    std::fs::write(dir.join(format!("data.{name}")), format!("{licence}{data}")).unwrap();
    std::fs::write(dir.join(format!("index.{name}")), format!("{licence}{}", index.collect::<String>()))
        .unwrap();
    std::fs::write(dir.join(format!("{name}.exc")), exceptions).unwrap();
}

fn small(dir: &Path) -> WordNet {
    std::fs::create_dir_all(dir).unwrap();
    let nouns: [(&str, &[&str]); 8] = [
        ("entity", &[]),
        ("animal", &["entity"]),
        ("dog", &["animal"]),
        ("cat", &["animal"]),
        ("kitten", &["cat"]),
        ("mascot", &["kitten", "entity"]),
        ("place", &["entity"]),
        ("sitting", &["entity"]),
    ];
    let verbs: [(&str, &[&str]); 5] = [
        ("sit", &[]),
        ("run", &[]),
        ("dash", &["run"]),
        ("restrain", &["inhibit"]),
        ("inhibit", &["restrain"]),
    ];
    write_part(dir, "noun", 'n', &nouns, "");
    write_part(dir, "verb", 'v', &verbs, "sitting sit\n");
    write_part(dir, "adj", 'a', &[("red", &[]), ("blue", &[])], "");
    write_part(dir, "adv", 'r', &[], "");
    WordNet::open(dir).unwrap()
}

#[test]
fn words_are_alike_by_what_they_share() {
    let dir = tempfile::tempdir().unwrap();
    let words = small(dir.path());
    for (a, b, expected) in [
        // Both lie one step below "animal", which is the second from the top: 4 of 6.
        ("dog", "cat", 2.0 / 3.0),
        ("dog", "animal", 4.0 / 5.0),
        ("dog", "place", 2.0 / 5.0),
        ("Dogs", "cats", 2.0 / 3.0),
        // From "mascot" to "animal" it is nearer through "entity" than by way of kittens and cats: two steps, not three.
        ("mascot", "dog", 4.0 / 7.0),
        // Verbs share a root above their own.
        ("sit", "run", 2.0 / 4.0),
        ("dog", "sit", 2.0 / 6.0),
        ("red", "blue", 2.0 / 4.0),
        // A verb with a wider one and the root are equally deep: the first of the two words decides.
        ("run", "dash", 2.0 / 3.0),
        ("dash", "run", 2.0 / 5.0),
        // A noun goes before a verb.
        ("sitting", "place", 2.0 / 4.0),
        ("unheard", "dog", 0.0),
        ("unheard", "unheard", 1.0),
    ] {
        assert!((words.alike(a, b) - expected).abs() < 1e-12, "{a}, {b}: {}", words.alike(a, b));
    }
    // A circle ends somewhere.
    assert!(words.alike("restrain", "sit") > 0.0);
    assert_eq!(
        ["sitting", "dashes", "runs", "dogs", "Reds", "unheard"].map(|form| words.lemma(form)),
        ["sit", "dash", "run", "dog", "reds", "unheard"]
    );
}

#[test]
fn answers_are_alike_word_by_word_in_the_worse_direction() {
    let alike = |a: &str, b: &str| match (a, b) {
        (a, b) if a == b => 1.0,
        ("x", "y") | ("y", "x") => 0.5,
        _ => 0.0,
    };
    let of = |a: &[&str], b: &[&str]| {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        wups(&own(a), &own(b), alike)
    };
    assert_eq!((of(&["x"], &["x"]), of(&["x"], &["y"]), of(&["x"], &["z"])), (1.0, 0.5, 0.0));
    // Nothing is like "z", so it does not count; both x and y are like x.
    assert_eq!((of(&["x", "z"], &["x"]), of(&["x"], &["x", "y"])), (1.0, 0.5));
    assert_eq!((of(&[], &["x"]), of(&[], &[])), (0.0, 0.0));
}

#[test]
fn missing_and_damaged_files_of_wordnet_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = WordNet::open(dir.path()).unwrap_err().to_string();
    assert!(missing.contains("index.noun") && missing.contains("adv.exc"), "{missing}");
    small(dir.path());
    let path = dir.path().join("data.noun");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("  1 This", "  1 Thus this", 1)).unwrap();
    let moved = WordNet::open(dir.path()).unwrap_err().to_string();
    assert!(moved.contains("data.noun, record line 2"), "{moved}");
    std::fs::write(&path, text.lines().take(3).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let short = WordNet::open(dir.path()).unwrap_err().to_string();
    assert!(short.contains("where the index has the word"), "{short}");
}

#[test]
fn open_answers_of_next_qa_by_hand() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("nextqa");
    small(&folder.join("wordnet"));
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let head = "video,frame_count,width,height,question,answer,qid,type\n";
    let rows = "4,9,6,4,why did it run,the dog sits,0,CW\n4,9,6,4,what came before,a cat,1,TP\n4,9,6,4,how many,two,2,DC\n";
    write("test_oe.csv", format!("{head}{rows}"));
    write("stopwords.txt", "the\na\nit\n".to_owned());
    write("add_reference_answer_test.json", json!({"4": {"1": "an animal", "2": "two dogs"}}).to_string());
    let open = || BenchId::NextqaOpen.open(root.path(), &BenchOptions::default());
    let missing = open().err().unwrap().to_string();
    assert!(missing.contains("map_vid_vidorID.json") && !missing.contains("stopwords"), "{missing}");
    write("map_vid_vidorID.json", json!({"4": "1/4"}).to_string());
    let bench = open().unwrap();
    let items = bench.items();
    assert_eq!(items[0].sample.media[0].uri, "nextqa/NExTVideo/1/4.mp4");
    let asked = &items[0].sample.conversations[0].text;
    assert!(asked.starts_with("<video>\nwhy did it run?\n"), "{asked}");
    assert_eq!((items[1].groups["type"].as_str(), items[1].groups["family"].as_str()), ("TN", "temporal"));
    assert_eq!(items[1].label, json!(["a cat", "an animal"]));
    // "dog" and "cat" share two thirds; the second reference is nearer to "dog" than the first; a number is right or wrong.
    let said = ["A cat was sitting", "Dogs.", "Three"];
    let scores: Vec<f64> =
        said.iter().enumerate().map(|(at, text)| bench.read(at, text).score.unwrap()).collect();
    let by_hand = [2.0 / 3.0, 4.0 / 5.0, 0.0];
    assert!(scores.iter().zip(by_hand).all(|(score, by_hand)| (score - by_hand).abs() < 1e-12), "{scores:?}");
    assert_eq!(bench.read(2, "two dogs").score, Some(1.0));
    assert_eq!(bench.read(0, "the").parsed, Value::Null);
    let reply = |(at, text): (usize, &&str)| Reply { id: format!("4/{at}"), text: (*text).to_owned() };
    let replies: Vec<Reply> = said.iter().enumerate().map(reply).collect();
    let sheet = bench.sheet(&replies, Unmatched::REFUSE, None).unwrap();
    let of = |name: &str| sheet.lines.iter().find(|line| line.name == name).unwrap().value.unwrap();
    assert!((of(bench.headline()) - 100.0 * (2.0 / 3.0 + 0.8) / 3.0).abs() < 1e-9);
    assert!((of("family: temporal") - 80.0).abs() < 1e-9 && of("type: DC") == 0.0);
    write("test_oe.csv", format!("{head}{}", rows.replace("TP", "XX")));
    assert!(open().err().unwrap().to_string().contains("\"XX\" is none of NExT-QA's"));
}

/// NLTK 3.10.4 over WordNet 3.0: `wordnet.synsets(a)[0].wup_similarity(wordnet.synsets(b)[0])`.
#[test]
#[ignore = "needs WordNet 3.0: its folder dict in WORDNET"]
fn words_are_alike_as_in_nltk() {
    let words = WordNet::open(Path::new(&std::env::var_os("WORDNET").unwrap())).unwrap();
    let pairs: Vec<(String, String, f64)> = serde_json::from_str(include_str!("data/wup.json")).unwrap();
    assert!(pairs.len() > 300);
    for (a, b, expected) in &pairs {
        let found = words.alike(a, b);
        assert!((found - expected).abs() < 1e-12, "{a}, {b}: {found}, not {expected}");
    }
    let wups = Wups { words, stop: std::iter::once("the".to_owned()).collect() };
    assert_eq!(wups.clean("the children were sitting on tables"), ["child", "be", "sit", "on", "table"]);
}
