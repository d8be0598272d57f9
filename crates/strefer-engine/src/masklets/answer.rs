//! The answer grammar of RexSeek: `<ground>phrase</ground><objects><obj0><obj3></objects>`, repeated.

/// The groups of an answer that count: a phrase and the objects it is said to be, as written.
///
/// A group has no line break inside; text around groups is passed over. A group that names no object which an earlier group
/// has not named is passed over too; otherwise it counts with all its objects. Of two groups for one phrase the first
/// counts.
pub fn groups(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("<ground>") {
        let after = &rest[start + "<ground>".len()..];
        let Some((phrase, objects, behind)) = group(after) else {
            rest = after;
            continue;
        };
        rest = &after[behind..];
        let tags = tags(objects);
        let is_new = tags.iter().any(|tag| !seen.contains(tag));
        seen.extend(tags.iter().cloned());
        let phrase = phrase.trim();
        if is_new && !found.iter().any(|(known, _)| known == phrase) {
            found.push((phrase.to_owned(), tags));
        }
    }
    found
}

/// Phrase and objects of a group whose opening was read, and where the text goes on: the shortest phrase first.
fn group(text: &str) -> Option<(&str, &str, usize)> {
    const MIDDLE: &str = "</ground><objects>";
    const CLOSE: &str = "</objects>";
    let line = &text[..text.find('\n').unwrap_or(text.len())];
    line.match_indices(MIDDLE).find_map(|(at, _)| {
        let begin = at + MIDDLE.len();
        let end = begin + line[begin..].find(CLOSE)?;
        Some((&line[..at], &line[begin..end], end + CLOSE.len()))
    })
}

/// Everything of the form `<obj` digits `>`.
fn tags(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("<obj") {
        let digits = &text[at + 4..];
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if count > 0 && digits[count..].starts_with('>') {
            found.push(format!("<obj{}>", &digits[..count]));
        }
    }
    found
}

/// The objects of all groups in order, without those that are no box.
pub fn indices(text: &str, n_boxes: usize) -> Vec<usize> {
    let number = |tag: &String| tag[4..tag.len() - 1].parse().ok().filter(|index| *index < n_boxes);
    groups(text).iter().flat_map(|(_, tags)| tags).filter_map(number).collect()
}
