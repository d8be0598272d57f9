//! Stage C: entities become masks. Who looks is behind one trait.

use std::sync::{Mutex, PoisonError};

use strefer_core::Mask;
use strefer_core::records::{Entities, Masklets, MaskletsFailure, VideoKind};
use strefer_core::sample::{Media, MediaKind};
use strefer_video::jpeg::USUAL_QUALITY;
use strefer_vision::grounding_dino;
use strefer_vision::sam2::{Sam2Video, SessionOptions};

use super::at_hand::AtHand;
use super::fault::Fault;
use super::store::Note;
use super::watch::Watch;
use crate::config::{MaskletModels, SimulatedMasklets};
use crate::masklets::eyes::{BoxEyes, ColourLooks, FrameStore, TrackEyes};
use crate::masklets::simulate::{Rules, run as simulate};
use crate::masklets::{
    Area, CorrectedConfig, Detection, Detector, Nobody, Perception, PublishedConfig, Referee, Seen, Sought,
    Timeline, Tracker, Tracking, Way, corrected, published,
};

/// Frames whose features are kept.
const KEPT_FEATURES: usize = 16;

/// Makes masklets. Several threads may ask at once.
pub trait MaskletSource: Send + Sync {
    /// What it is, with all that changes its masks.
    fn name(&self) -> &str;

    /// Where entities are. That there is nothing to be seen is a record, too.
    ///
    /// # Errors
    /// A video that cannot be read, a model that fails, no time.
    fn masklets(&self, at: &AtHand<'_>, entities: &Entities, watch: &Watch<'_>) -> Result<Masklets, Fault>;
}

/// What is worth saying about masklets.
pub fn notes(masklets: &Masklets, entities: &Entities) -> Vec<Note> {
    let failure = masklets.failure.iter().map(|failure| Note::new("no_masklets", "", failure.to_string()));
    let found = |eid: &str| {
        let objects = masklets.objects.iter().filter(|object| object.eid == eid);
        objects.flat_map(|object| object.frames.values()).any(|frame| frame.area > 0)
    };
    let without = entities.items.iter().filter(|entity| masklets.failure.is_none() && !found(&entity.eid));
    let without = without.map(|entity| Note::new("no_masklet", &entity.eid, entity.expression.clone()));
    failure.chain(without).collect()
}

/// The record, unless its failure is one that a later try may not meet.
fn settled(masklets: Masklets, watch: &Watch<'_>) -> Result<Masklets, Fault> {
    match &masklets.failure {
        Some(MaskletsFailure::Unreadable { reason }) => Err(Fault::Unreadable { reason: reason.clone() }),
        Some(failure @ MaskletsFailure::Perception { .. }) => {
            watch.check()?;
            Err(Fault::Masklets { failure: failure.clone() })
        }
        _ => Ok(masklets),
    }
}

/// Models that know the truth of a synthetic world, and are wrong about it at set rates.
#[derive(Debug)]
pub struct Simulated {
    cfg: SimulatedMasklets,
}

impl Simulated {
    /// With these faults.
    pub fn new(cfg: SimulatedMasklets) -> Self {
        Self { cfg }
    }
}

impl MaskletSource for Simulated {
    fn name(&self) -> &str {
        "simulated/1"
    }

    fn masklets(&self, at: &AtHand<'_>, entities: &Entities, watch: &Watch<'_>) -> Result<Masklets, Fault> {
        let truth = at.given.truth.as_ref();
        let truth = truth.ok_or_else(|| Fault::NotGiven { record: "truth".to_owned() })?;
        let rules = match self.cfg.published {
            true => Rules::Published(PublishedConfig::default()),
            false => Rules::Corrected(CorrectedConfig::default()),
        };
        let mut masklets = simulate(truth, &self.cfg.noise, &rules);
        masklets.objects.retain(|object| entities.items.iter().any(|entity| entity.eid == object.eid));
        settled(masklets, watch)
    }
}

/// A model that makes a referee for each video.
pub trait Referees: Send {
    /// The referee over frames of `media` at the places of `timeline`.
    fn over<'a>(&'a self, frames: &'a FrameStore, media: Media, timeline: &Timeline)
    -> Box<dyn Referee + 'a>;
}

/// Models in memory.
pub struct Loaded {
    /// Names become boxes.
    pub detector: grounding_dino::Detector,
    /// Boxes become masks.
    pub tracker: Sam2Video,
    /// Expressions choose among boxes.
    pub referee: Option<Box<dyn Referees>>,
}

/// Loads models, or says why they cannot be.
pub type Loader = dyn Fn() -> Result<Loaded, String> + Send + Sync;

/// A detector, a tracker and a referee in this process, loaded when they are first needed. They look at one video at a time,
/// whoever asks.
pub struct Models {
    name: String,
    cfg: MaskletModels,
    load: Box<Loader>,
    loaded: Mutex<Option<Loaded>>,
}

impl Models {
    /// `digest` tells their weights from others.
    pub fn new(cfg: MaskletModels, digest: &str, load: Box<Loader>) -> Self {
        Self { name: format!("models/1 {digest}"), cfg, load, loaded: Mutex::new(None) }
    }
}

impl MaskletSource for Models {
    fn name(&self) -> &str {
        &self.name
    }

    fn masklets(&self, at: &AtHand<'_>, entities: &Entities, watch: &Watch<'_>) -> Result<Masklets, Fault> {
        let mut turn = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        watch.check()?;
        let failed = |reason| Fault::Model { model: "masklets".to_owned(), reason };
        let models = match turn.take() {
            Some(models) => models,
            None => (self.load)().map_err(failed)?,
        };
        let models = turn.insert(models);
        let sought: Vec<Sought> = entities.items.iter().map(Sought::from).collect();
        let opened = FrameStore::open(at.source()?.clone(), self.cfg.frames);
        let (frames, timeline) =
            opened.map_err(|failure| Fault::Unreadable { reason: failure.to_string() })?;
        // The released generator's tracker and referee read frames that were written as JPEG.
        let frames = match &self.cfg.published {
            Some(_) => frames.through_jpeg(USUAL_QUALITY),
            None => frames,
        };
        let mut eyes = BoxEyes::new(&frames, &models.detector, BoxEyes::PUBLISHED);
        let tracks = TrackEyes::new(&frames, &models.tracker, SessionOptions::default(), KEPT_FEATURES);
        let mut referee: Box<dyn Referee + '_> = match &models.referee {
            Some(referees) => referees.over(&frames, media(at)?, &timeline),
            None => Box::new(Nobody),
        };
        let mut perception = Perception {
            detector: &mut Timed { inner: &mut eyes, watch },
            tracker: &TimedTracker { inner: &tracks, watch },
            referee: referee.as_mut(),
            looks: &mut ColourLooks::new(&frames),
        };
        let id = &at.video.video_id;
        let masklets = match &self.cfg.published {
            Some(cfg) => published::run(id, &sought, &timeline, &mut perception, cfg),
            None => corrected::run(id, &sought, &timeline, &mut perception, &self.cfg.corrected),
        };
        settled(masklets, watch)
    }
}

/// The video as a model of ours takes it.
pub(super) fn media(at: &AtHand<'_>) -> Result<Media, Fault> {
    let kind = match at.video.kind {
        VideoKind::File => MediaKind::Video,
        VideoKind::FramesDir => MediaKind::Frames,
    };
    let size = Some((at.video.height, at.video.width));
    Ok(Media { kind, uri: at.path()?.display().to_string(), segment: None, size })
}

/// Looks only while there is time.
struct Timed<'a, D: ?Sized> {
    inner: &'a mut D,
    watch: &'a Watch<'a>,
}

impl<D: Detector + ?Sized> Detector for Timed<'_, D> {
    fn detect(&mut self, position: usize, nouns: &[String]) -> Seen<Vec<Detection>> {
        self.watch.check()?;
        self.inner.detect(position, nouns)
    }
}

struct TimedTracker<'a> {
    inner: &'a dyn Tracker,
    watch: &'a Watch<'a>,
}

struct TimedTracking<'a> {
    inner: Box<dyn Tracking + 'a>,
    watch: &'a Watch<'a>,
}

impl Tracker for TimedTracker<'_> {
    fn begin<'a>(&'a self, start: usize, way: Way) -> Seen<Box<dyn Tracking + 'a>> {
        self.watch.check()?;
        Ok(Box::new(TimedTracking { inner: self.inner.begin(start, way)?, watch: self.watch }))
    }
}

impl Tracking for TimedTracking<'_> {
    fn add(&mut self, object: u32, position: usize, area: Area) -> Seen<Mask> {
        self.watch.check()?;
        self.inner.add(object, position, area)
    }

    fn step(&mut self, position: usize) -> Seen<Vec<(u32, Mask)>> {
        self.watch.check()?;
        self.inner.step(position)
    }

    fn remove(&mut self, object: u32) {
        self.inner.remove(object);
    }
}
