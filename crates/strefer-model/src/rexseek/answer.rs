//! The grammar of answers: `<ground>` phrase `</ground><objects>` tags `</objects>`, any number of times.

const GROUND: &str = "<ground>";
const BETWEEN: &str = "</ground><objects>";
const END: &str = "</objects>";

/// A phrase of an answer and the objects that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What stands between the tags, without space around it.
    pub phrase: String,
    /// Indices in the order of their tags; what is named twice is there twice.
    pub objects: Vec<usize>,
}

/// What was answered to one expression.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The text with its tags, without the token that ended it.
    pub text: String,
    /// Its groups. None: no box is what the expression means.
    pub groups: Vec<Group>,
    /// All indices of the groups that name a box of the scene, in order. They are not made unique: `[1, 1]` counts as two
    /// where one is asked for.
    pub indices: Vec<usize>,
    /// For each index the logarithm of its token's probability; none where the tag was not written as one token.
    pub log_probabilities: Vec<Option<f64>>,
    /// Whether it broke off at the longest length.
    pub cut: bool,
}

/// A tag of an object in a text: where it begins, and its index.
pub(super) type Tag = (usize, usize);

/// All tags `<objK>` of a text. An index that no number holds is the largest one.
pub(super) fn tags(text: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("<obj") {
        let rest = &text[at + 4..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && rest[digits..].starts_with('>') {
            found.push((at, rest[..digits].parse().unwrap_or(usize::MAX)));
        }
    }
    found
}

/// What lies between the tags of every group: the phrase, and the byte range of what names its objects. Neither holds a line
/// end. A group begins at the first `<ground>` that one can begin at, and ends as early as possible.
fn raw_groups(text: &str) -> Vec<(&str, std::ops::Range<usize>)> {
    let mut groups = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find(GROUND) {
        let start = from + found + GROUND.len();
        match one_group(text, start) {
            Some((phrase, objects)) => {
                from = objects.end + END.len();
                groups.push((phrase, objects));
            }
            None => from = start,
        }
    }
    groups
}

fn one_group(text: &str, start: usize) -> Option<(&str, std::ops::Range<usize>)> {
    for (at, _) in text[start..].match_indices(BETWEEN) {
        let phrase = &text[start..start + at];
        if phrase.contains('\n') {
            return None;
        }
        let objects = start + at + BETWEEN.len();
        let end = text[objects..].find(END)?;
        if !text[objects..objects + end].contains('\n') {
            return Some((phrase, objects..objects + end));
        }
    }
    None
}

/// The tags of the groups that count, as Strefer reads them: a group whose objects were all named before is left out, one
/// that names a new object keeps all it names, and of groups with one phrase the first counts.
pub(super) fn groups_with_tags(text: &str) -> Vec<(String, Vec<Tag>)> {
    let mut seen: Vec<&str> = Vec::new();
    let mut kept: Vec<(String, Vec<Tag>)> = Vec::new();
    for (phrase, range) in raw_groups(text) {
        let tags: Vec<Tag> =
            tags(&text[range.clone()]).into_iter().map(|(at, index)| (range.start + at, index)).collect();
        // Tags are compared as written: <obj7> and <obj007> are two.
        let mut is_new = false;
        for &(at, _) in &tags {
            let tag = &text[at..=at + text[at..].find('>').unwrap_or_default()];
            if !seen.contains(&tag) {
                seen.push(tag);
                is_new = true;
            }
        }
        if is_new {
            keep_first(&mut kept, phrase, tags);
        }
    }
    kept
}

fn keep_first(kept: &mut Vec<(String, Vec<Tag>)>, phrase: &str, tags: Vec<Tag>) {
    let phrase = phrase.trim();
    if kept.iter().all(|(other, _)| other != phrase) {
        kept.push((phrase.to_owned(), tags));
    }
}

fn without_places(groups: Vec<(String, Vec<Tag>)>) -> Vec<Group> {
    let group = |(phrase, tags): (String, Vec<Tag>)| Group {
        phrase,
        objects: tags.into_iter().map(|(_, index)| index).collect(),
    };
    groups.into_iter().map(group).collect()
}

/// The groups of an answer as Strefer's masklet generator reads them.
pub fn parse(text: &str) -> Vec<Group> {
    without_places(groups_with_tags(text))
}

/// The groups of an answer as RexSeek's own evaluation reads them: objects may be named again, and groups without objects
/// count.
pub fn parse_as_evaluated(text: &str) -> Vec<Group> {
    let mut kept = Vec::new();
    for (phrase, range) in raw_groups(text) {
        keep_first(&mut kept, phrase, tags(&text[range]));
    }
    without_places(kept)
}

/// All indices of the groups that are smaller than `boxes`.
pub fn indices(groups: &[Group], boxes: usize) -> Vec<usize> {
    groups.iter().flat_map(|group| &group.objects).copied().filter(|index| *index < boxes).collect()
}

impl Answer {
    /// Reads `text`, whose object tokens, in the order in which they were written, had these indices and probabilities.
    pub(super) fn read(text: String, boxes: usize, tokens: &[(usize, f64)], cut: bool) -> Self {
        let written = tags(&text);
        // A tag spelt out letter by letter leaves fewer tokens than tags; then no tag can be told from another.
        let all_tokens = written.iter().map(|tag| tag.1).eq(tokens.iter().map(|token| token.0));
        let of_tag = |place: usize| {
            let at = written.iter().position(|tag| tag.0 == place).filter(|_| all_tokens)?;
            Some(tokens[at].1)
        };
        let groups = groups_with_tags(&text);
        let named = groups.iter().flat_map(|group| &group.1).filter(|tag| tag.1 < boxes);
        let (indices, log_probabilities) = named.map(|&(place, index)| (index, of_tag(place))).unzip();
        let groups = without_places(groups);
        Self { text, groups, indices, log_probabilities, cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_follow_their_tags() {
        let text = "<obj5><ground>a</ground><objects><obj1><obj9></objects><ground>b</ground><objects><obj1></objects>";
        let tokens = [(5, -5.0), (1, -1.0), (9, -9.0), (1, -0.5)];
        let answer = Answer::read(text.to_owned(), 6, &tokens, false);
        assert_eq!(answer.indices, [1]);
        assert_eq!(answer.log_probabilities, [Some(-1.0)]);
        assert_eq!(answer.groups, [Group { phrase: "a".into(), objects: vec![1, 9] }]);
        let spelt = Answer::read(text.to_owned(), 6, &tokens[1..], false);
        assert_eq!((spelt.indices, spelt.log_probabilities), (vec![1], vec![None]));
    }

    #[test]
    fn tags_are_found_whatever_stands_around_them() {
        assert_eq!(
            tags("<obj<obj3>é<obj><obj12><obj 4><obj99999999999999999999999>"),
            [(4, 3), (17, 12), (31, usize::MAX)]
        );
        assert!(parse("<ground>é</ground><objects><obj1>\n</objects>").is_empty());
    }
}
