//! Stages that ask about objects one by one, as VideoRefer's data engine does (arXiv 2501.00599, section 3), and the samples
//! that come of it.
//!
//! | there | here | asks or looks with | adds |
//! |---|---|---|---|
//! | Analyzer | [parse](super::parse), of a caption that is given | a teacher | entities |
//! | Segmentor | [masklets](super::masklets) | models | where they are |
//! | Annotator | [`mod@annotate`] | a teacher that sees frames | motion and looks, asked apart |
//! | Reviewer | [`mod@review`] | a [`describer`] or a teacher that sees outlines; a teacher that compares | whether masks show it |
//! | Refiner | [`mod@refine`] | a teacher | one text of both |
//! | questions | [`mod@question`] | a teacher that sees outlines | questions of three kinds |
//!
//! Each adds to one [`Descriptions`] record. Whatever is dropped leaves a note with its reason; where a teacher answers
//! nothing of the form asked for about any object, the stage comes to nothing and is tried again.

pub mod annotate;
mod asking;
pub mod describer;
pub mod pointers;
pub mod question;
pub mod refine;
pub mod review;
pub mod samples;
pub mod words;

use strefer_core::records::{Description, Descriptions, Entities, Entity, Masklets};
use strefer_core::sample::Schema;

/// Nothing is said yet, of each entity that a mask shows.
pub fn begin(entities: &Entities, masklets: &Masklets) -> Descriptions {
    let shown = |entity: &&Entity| {
        let own = masklets.objects.iter().filter(|object| object.eid == entity.eid);
        own.flat_map(|object| object.frames.values()).any(|frame| frame.area > 0)
    };
    let item = |entity: &Entity| Description { eid: entity.eid.clone(), ..Description::default() };
    Descriptions {
        schema: Schema::V1,
        video_id: entities.video_id.clone(),
        provenance: None,
        items: entities.items.iter().filter(shown).map(item).collect(),
    }
}

/// The entity of a description.
fn entity<'a>(entities: &'a Entities, item: &Description) -> Option<&'a Entity> {
    entities.items.iter().find(|entity| entity.eid == item.eid)
}

/// All words that name entities of a video: texts may hold them.
fn names(entities: &Entities) -> String {
    let named = entities.items.iter().flat_map(|entity| [entity.expression.as_str(), entity.noun.as_str()]);
    named.collect::<Vec<_>>().join(" ").to_lowercase()
}
