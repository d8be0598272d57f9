//! Training, encoding, decoding and streaming.

use strefer_llm::{ChatTemplate, Error, Message, Tokenizer, train_bpe};

fn texts() -> Vec<String> {
    (0..50)
        .map(|i| format!("The red ball number {i} rolls behind the green box — then stops. 红球\n"))
        .collect()
}

fn tokenizer() -> Tokenizer {
    train_bpe(texts(), 400, &["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<region>"]).unwrap()
}

#[test]
fn any_text_comes_back_equal() {
    let tokenizer = tokenizer();
    for text in ["The red ball rolls", " two  spaces\n\n", "héllo ✓ 漢字 🦀", "x<region> y", "\u{0}\t1234"]
    {
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
    }
    assert_eq!(tokenizer.encode("").unwrap(), Vec::<u32>::new());
}

#[test]
fn bytes_of_tokens_make_their_text() {
    let tokenizer = tokenizer();
    let bytes = tokenizer.token_bytes().unwrap();
    assert_eq!(bytes.len(), tokenizer.vocab_size());
    for text in ["The red ball rolls\n", "héllo ✓ 漢字 🦀", "\u{0}\t1234\u{7f}\u{a0}\u{ad}"] {
        let ids = tokenizer.encode(text).unwrap();
        let whole: Vec<u8> = ids.iter().flat_map(|&id| bytes[id as usize].clone().unwrap()).collect();
        assert_eq!(whole, text.as_bytes());
    }
    assert!(bytes[..4].iter().all(Option::is_none), "special tokens have none");
    let mut single: Vec<u8> = bytes.into_iter().flatten().filter(|b| b.len() == 1).map(|b| b[0]).collect();
    single.sort_unstable();
    assert_eq!(single, (0..=255).collect::<Vec<u8>>());
}

#[test]
fn training_learns_words_keeps_specials_whole_and_is_repeatable() {
    let one = tokenizer();
    assert_eq!(one.token_id("<|endoftext|>"), Some(0));
    assert_eq!(one.encode("<region>").unwrap(), [3]);
    assert!(one.encode(" rolls").unwrap().len() == 1, "a frequent word is one token");
    assert_eq!(one.encode("42").unwrap().len(), 2, "digits stand alone");
    assert!(one.vocab_size() <= 400);
    let text = "The green ball stops behind the red box.";
    assert_eq!(one.encode(text).unwrap(), tokenizer().encode(text).unwrap());
    assert!(matches!(train_bpe(texts(), 100, &[]), Err(Error::Tokenizer { .. })));
}

#[test]
fn added_tokens_get_new_ids_and_survive_the_file() {
    let mut tokenizer = tokenizer();
    let before = tokenizer.vocab_size() as u32;
    let ids = tokenizer.add_special_tokens(&["<0>", "<region>", "<1>"]).unwrap();
    assert_eq!(ids, [before, 3, before + 1]);
    assert_eq!(tokenizer.vocab_size() as u32, before + 2);
    let dir = tempfile::tempdir().unwrap();
    tokenizer.save(dir.path().join("tokenizer.json")).unwrap();
    let loaded = Tokenizer::load(dir.path()).unwrap();
    let text = "at <0> the <region> stops<1>";
    let ids = loaded.encode(text).unwrap();
    assert_eq!(ids, tokenizer.encode(text).unwrap());
    assert!(ids.contains(&before) && ids.contains(&3));
    assert_eq!(loaded.decode(&ids, true).unwrap(), "at  the  stops");
    assert_eq!(loaded.decode(&ids, false).unwrap(), text);
}

#[test]
fn a_stream_never_gives_half_a_character() {
    let tokenizer = tokenizer();
    let text = "a ✓ 漢字🦀 end";
    let ids = tokenizer.encode(text).unwrap();
    assert!(ids.len() > text.chars().count(), "some characters are several tokens");
    let mut stream = tokenizer.stream();
    let mut whole = String::new();
    for id in &ids {
        let piece = stream.push(*id).unwrap().unwrap_or_default();
        assert!(!piece.contains('\u{FFFD}'), "{piece:?}");
        whole.push_str(&piece);
    }
    whole.push_str(&stream.finish().unwrap().unwrap_or_default());
    assert_eq!(whole, text);

    let mut broken = tokenizer.stream();
    let cut = tokenizer.encode("🦀").unwrap();
    assert_eq!(broken.push(cut[0]).unwrap(), None);
    assert_eq!(broken.finish().unwrap().as_deref(), Some("\u{FFFD}"));
}

#[test]
fn labels_of_a_conversation_come_from_offsets() {
    let tokenizer = tokenizer();
    let talk = [
        Message::new("user", "What is <region>?"),
        Message::new("assistant", "A red ball — 红球."),
        Message::new("user", "And then?"),
        Message::new("assistant", "It stops"),
    ];
    let template = ChatTemplate::qwen2();
    let (ids, flags) = tokenizer.encode_segments(&template.segments(&talk, false).unwrap()).unwrap();
    assert_eq!(ids, tokenizer.encode(&template.render(&talk, false).unwrap()).unwrap());
    let said: Vec<u32> = ids.iter().zip(&flags).filter(|(_, said)| **said).map(|(id, _)| *id).collect();
    let text = tokenizer.decode(&said, false).unwrap();
    assert_eq!(text, "A red ball — 红球.<|im_end|>It stops<|im_end|>");
}

#[test]
fn a_missing_or_damaged_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = Tokenizer::load(dir.path()).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("tokenizer.json")), "{error}");
    std::fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
    let error = Tokenizer::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
}
