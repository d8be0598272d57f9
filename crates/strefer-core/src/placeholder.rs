//! Placeholders in conversation text: the video, indexed regions and indexed times.

/// One piece of a turn's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Plain text.
    Text(&'a str),
    /// `<video>` or `<image>`.
    Visual,
    /// `<region:i>`; `None` for a bare `<region>`.
    Region(Option<usize>),
    /// `<time:i>`.
    Time(usize),
    /// Something between angle brackets that starts like a placeholder but is none.
    Unknown(&'a str),
}

/// Splits text at its placeholders. Angle brackets that start no placeholder are plain text, and so is a placeholder behind a
/// backslash, which goes ([`literal`]).
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut searched) = (text, 0);
    while let Some(offset) = rest[searched..].find('<') {
        let at = searched + offset;
        let Some(length) = rest[at..].find('>') else { break };
        match placeholder(&rest[at..=at + length]) {
            Some(piece) => {
                let is_literal = rest[..at].ends_with('\\');
                let before = &rest[..at - usize::from(is_literal)];
                if !before.is_empty() {
                    found.push(Piece::Text(before));
                }
                found.push(if is_literal { Piece::Text(&rest[at..=at + length]) } else { piece });
                rest = &rest[at + length + 1..];
                searched = 0;
            }
            None => searched = at + 1,
        }
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    found
}

fn placeholder(tag: &str) -> Option<Piece<'_>> {
    let name = &tag[1..tag.len() - 1];
    match name {
        "video" | "image" => return Some(Piece::Visual),
        "region" => return Some(Piece::Region(None)),
        _ => {}
    }
    let (kind, index) = name.split_once(':')?;
    let index = index.parse::<usize>();
    match (kind, index) {
        ("region", Ok(index)) => Some(Piece::Region(Some(index))),
        ("time", Ok(index)) => Some(Piece::Time(index)),
        ("region" | "time", Err(_)) => Some(Piece::Unknown(tag)),
        _ => None,
    }
}

/// The same text with nothing in it that stands for anything: each placeholder behind a backslash.
pub fn literal(text: &str) -> String {
    let piece = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => (*text).to_owned(),
        Piece::Visual => "\\<video>".to_owned(),
        Piece::Region(None) => "\\<region>".to_owned(),
        Piece::Region(Some(index)) => format!("\\<region:{index}>"),
        Piece::Time(index) => format!("\\<time:{index}>"),
        Piece::Unknown(tag) => format!("\\{tag}"),
    };
    pieces(text).iter().map(piece).collect()
}

/// Replaces every placeholder by what `render` gives for it.
pub fn render<'a>(text: &'a str, mut render: impl FnMut(&Piece<'a>) -> String) -> String {
    pieces(text)
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => (*text).to_owned(),
            other => render(other),
        })
        .collect()
}

/// Numbers the bare `<region>` placeholders of several texts in order of appearance; returns how many there were.
pub fn number_regions<'a>(texts: impl Iterator<Item = &'a mut String>) -> usize {
    let mut count = 0;
    for text in texts {
        if text.contains("<region>") {
            let parts: Vec<&str> = text.split("<region>").collect();
            let mut numbered = parts[0].to_owned();
            for part in &parts[1..] {
                numbered.push_str(&format!("<region:{count}>"));
                numbered.push_str(part);
                count += 1;
            }
            *text = numbered;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_split_at_placeholders_only() {
        let text = "<video>\nIs <region:0> <b> at <time:12> < 3 or <region>?";
        let expected = [
            Piece::Visual,
            Piece::Text("\nIs "),
            Piece::Region(Some(0)),
            Piece::Text(" <b> at "),
            Piece::Time(12),
            Piece::Text(" < 3 or "),
            Piece::Region(None),
            Piece::Text("?"),
        ];
        assert_eq!(pieces(text), expected);
        assert_eq!(pieces("<region:x>"), [Piece::Unknown("<region:x>")]);
        assert_eq!(pieces("a < b <"), [Piece::Text("a < b <")]);
    }

    #[test]
    fn a_placeholder_behind_a_backslash_is_plain_text() {
        let text = "<region:0> or <time:1> <b>";
        assert_eq!(literal(text), r"\<region:0> or \<time:1> <b>");
        let read: String = pieces(&literal(text))
            .iter()
            .map(|piece| if let Piece::Text(text) = piece { *text } else { panic!("{piece:?}") })
            .collect();
        assert_eq!(read, text);
        assert_eq!(pieces(r"\<region:0><region:0>"), [Piece::Text("<region:0>"), Piece::Region(Some(0))]);
    }

    #[test]
    fn bare_regions_are_numbered_across_turns() {
        let mut texts = ["<region> and <region>".to_owned(), "no".to_owned(), "<region>".to_owned()];
        assert_eq!(number_regions(texts.iter_mut()), 3);
        assert_eq!(texts, ["<region:0> and <region:1>", "no", "<region:2>"]);
    }
}
