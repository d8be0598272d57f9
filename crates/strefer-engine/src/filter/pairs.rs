//! A conversation as its questions with their answers, each alone.

use std::collections::BTreeMap;

use strefer_core::Sample;
use strefer_core::placeholder::{Piece, pieces, render};
use strefer_core::sample::Role;

/// The number of questions with their answers.
fn count(sample: &Sample) -> usize {
    sample.conversations.iter().filter(|turn| turn.role == Role::Assistant).count()
}

/// Every question with its answer as a sample of its own.
pub fn pairs(sample: &Sample) -> Vec<Sample> {
    (0..count(sample)).map(|pair| only(sample, &[pair])).collect()
}

/// The sample with some of its questions, which are counted from 0; objects and moments that are no longer named go.
pub fn only(sample: &Sample, keep: &[usize]) -> Sample {
    let mut kept =
        Sample { conversations: Vec::new(), regions: Vec::new(), times: Vec::new(), ..sample.clone() };
    let (system, turns): (Vec<_>, Vec<_>) =
        sample.conversations.iter().partition(|turn| turn.role == Role::System);
    kept.conversations.extend(system.into_iter().cloned());
    let (mut regions, mut times) = (BTreeMap::new(), BTreeMap::new());
    let mut visuals = sample.media.len();
    for pair in turns.chunks(2).enumerate().filter(|(at, _)| keep.contains(at)).map(|(_, pair)| pair) {
        for turn in pair {
            for piece in pieces(&turn.text) {
                match piece {
                    Piece::Region(Some(old)) if old < sample.regions.len() => {
                        regions.entry(old).or_insert_with(|| {
                            let rid = kept.regions.len();
                            kept.regions
                                .push(strefer_core::sample::Region { rid, ..sample.regions[old].clone() });
                            rid
                        });
                    }
                    Piece::Time(old) if old < sample.times.len() => {
                        times.entry(old).or_insert_with(|| {
                            let tid = kept.times.len();
                            kept.times
                                .push(strefer_core::sample::TimeRef { tid, ..sample.times[old].clone() });
                            tid
                        });
                    }
                    _ => {}
                }
            }
            let plain = render(&turn.text, |piece| match piece {
                Piece::Region(Some(old)) => {
                    regions.get(old).map_or_else(String::new, |rid| format!("<region:{rid}>"))
                }
                Piece::Time(old) => times.get(old).map_or_else(String::new, |tid| format!("<time:{tid}>")),
                Piece::Visual => String::new(),
                Piece::Region(None) => "<region>".to_owned(),
                Piece::Text(text) | Piece::Unknown(text) => (*text).to_owned(),
            });
            // Whatever is shown stands before the first question that is kept.
            let shown = "<video>\n".repeat(std::mem::take(&mut visuals));
            kept.say(turn.role, format!("{shown}{}", plain.trim_start()));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use strefer_core::sample::{Media, MediaKind, Region, RegionMode, TimeRef, TimeStyle};
    use strefer_core::validate::MediaFacts;
    use strefer_core::{FrameKey, FrameMask, IndexSpace};

    use super::*;

    fn sample() -> Sample {
        let media = Media { kind: MediaKind::Video, uri: "a.mp4".to_owned(), segment: None, size: None };
        let mut sample = Sample::new("s", "a", vec![media]);
        sample.say(Role::User, "<video>\nWhat is <region:0>?");
        sample.say(Role::Assistant, "A ball.");
        sample.say(Role::User, "And <region:1> at <time:1>, after <time:0>?");
        sample.say(Role::Assistant, "It jumps until <time:1>.");
        sample.regions = (0..2)
            .map(|rid| Region {
                rid,
                eid: Some(format!("e{rid}")),
                masks: [(FrameKey(3), FrameMask::Null)].into_iter().collect(),
                index_space: IndexSpace::Source,
                mode: RegionMode::Multi,
                fixed_key: None,
            })
            .collect();
        let time = |tid, s| TimeRef { tid, s, rel_to: "media:0".to_owned(), style: TimeStyle::Token };
        sample.times = vec![time(0, 1.0), time(1, 2.0)];
        sample.validate(MediaFacts::default()).unwrap();
        sample
    }

    #[test]
    fn a_question_alone_keeps_what_it_names_under_new_numbers() {
        let pairs = pairs(&sample());
        assert_eq!(pairs.len(), 2);
        pairs.iter().for_each(|pair| pair.validate(MediaFacts::default()).unwrap());
        assert_eq!(pairs[0].conversations, sample().conversations[..2]);
        assert_eq!((pairs[0].regions.len(), pairs[0].times.len()), (1, 0));
        assert_eq!(pairs[1].conversations[0].text, "<video>\nAnd <region:0> at <time:0>, after <time:1>?");
        assert_eq!(pairs[1].conversations[1].text, "It jumps until <time:0>.");
        assert_eq!(pairs[1].regions[0].eid.as_deref(), Some("e1"));
        assert_eq!(pairs[1].times.iter().map(|time| time.s).collect::<Vec<_>>(), [2.0, 1.0]);
    }

    #[test]
    fn keeping_all_changes_at_most_the_numbers() {
        let all = only(&sample(), &[0, 1]);
        all.validate(MediaFacts::default()).unwrap();
        assert_eq!((all.regions.len(), all.times.len(), all.conversations.len()), (2, 2, 4));
        assert!(only(&sample(), &[]).conversations.is_empty());
    }
}
