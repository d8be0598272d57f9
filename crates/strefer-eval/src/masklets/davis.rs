//! Folders in the layout of DAVIS: `Annotations/<video>/<frame>.png`, whose pixels are numbers of objects, beside a folder of
//! results in the same layout.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use strefer_core::Mask;
use strefer_core::tracks::picture::{self, Picture};

use super::{f_measure, jaccard};
use crate::coverage::{Coverage, Unmatched};
use crate::error::{Error, Result};
use crate::sheet::{Line, Sheet};
use crate::statistics::Statistic;

/// Pixels of this number are not scored.
const VOID: u8 = 255;

/// A picture whose pixels are numbers.
struct Labels {
    height: usize,
    width: usize,
    pixels: Vec<u8>,
}

impl Labels {
    /// Reads a PNG with a palette, or a grey one, whose numbers are below 256.
    fn read(path: &Path) -> Result<Self> {
        let Picture { height, width, numbers, .. } = picture::read(path)?;
        let pixels = numbers.into_iter().map(u8::try_from).collect::<std::result::Result<Vec<u8>, _>>();
        let reason = "its pixels are numbers above 255".to_owned();
        let pixels = pixels.map_err(|_| Error::Record {
            path: path.to_owned(),
            record: "labels".to_owned(),
            reason,
        })?;
        Ok(Self { height, width, pixels })
    }

    /// Where an object is, apart from pixels that are not scored.
    fn mask(&self, object: u8, scored: &[bool]) -> Mask {
        Mask::from_fn(self.height, self.width, |y, x| {
            let at = y * self.width + x;
            self.pixels[at] == object && scored[at]
        })
    }
}

/// How well one object was found.
#[derive(Debug, Clone, PartialEq)]
pub struct DavisObject {
    /// The video.
    pub video: String,
    /// Its number.
    pub object: u8,
    /// Mean overlap.
    pub j: f64,
    /// Mean agreement of boundaries.
    pub f: f64,
}

/// How well all objects were found.
#[derive(Debug, Clone, PartialEq)]
pub struct DavisScores {
    /// Which videos are scored.
    pub coverage: Coverage,
    /// In the order of videos' names and objects' numbers.
    pub objects: Vec<DavisObject>,
}

/// Names of what a folder holds, in order.
fn names(dir: &Path, keep: impl Fn(&Path) -> bool) -> Result<Vec<String>> {
    let io = |source| Error::Io { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if keep(&path) {
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn is_png(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"))
}

/// Scores results beside annotations. The objects are those of the annotations. Unless `all_frames`, the first and the last
/// frame do not count, as in the semi-supervised task: the first is given.
///
/// # Errors
/// Videos that are missing or too much and not let pass, frames that are missing, pictures that are no labels or of another
/// size.
pub fn score(
    annotations: &Path,
    results: &Path,
    all_frames: bool,
    unmatched: Unmatched,
) -> Result<DavisScores> {
    let known = names(annotations, Path::is_dir)?;
    let found = names(results, Path::is_dir)?;
    let both: Vec<&String> = known.iter().filter(|video| found.contains(video)).collect();
    let coverage = Coverage {
        matched: both.len(),
        missing: known.iter().filter(|video| !found.contains(video)).cloned().collect(),
        extra: found.iter().filter(|video| !known.contains(video)).cloned().collect(),
    };
    let coverage = unmatched.admit(coverage)?;
    let mut objects = Vec::new();
    for video in both {
        objects.extend(score_video(video, &annotations.join(video), &results.join(video), all_frames)?);
    }
    Ok(DavisScores { coverage, objects })
}

fn score_video(
    video: &str,
    annotations: &Path,
    results: &Path,
    all_frames: bool,
) -> Result<Vec<DavisObject>> {
    let frames = names(annotations, is_png)?;
    let bad = |path: PathBuf, reason: String| Error::Record { path, record: video.to_owned(), reason };
    let counted =
        if all_frames { &frames[..] } else { frames.get(1..frames.len().max(2) - 1).unwrap_or(&[]) };
    if counted.is_empty() {
        return Err(bad(annotations.to_owned(), format!("{} frames, none of which counts", frames.len())));
    }
    let mut ids: BTreeSet<u8> = BTreeSet::new();
    for frame in &frames {
        ids.extend(Labels::read(&annotations.join(frame))?.pixels);
    }
    let ids: Vec<u8> = ids.into_iter().filter(|id| ![0, VOID].contains(id)).collect();
    let mut sums = vec![(0.0, 0.0); ids.len()];
    for frame in counted {
        let truth = Labels::read(&annotations.join(frame))?;
        let path = results.join(frame);
        let found = Labels::read(&path)?;
        if (found.height, found.width) != (truth.height, truth.width) {
            let reason = format!(
                "{}x{} pixels, the annotation {}x{}",
                found.height, found.width, truth.height, truth.width
            );
            return Err(bad(path, reason));
        }
        let scored: Vec<bool> = truth.pixels.iter().map(|pixel| *pixel != VOID).collect();
        for (id, (j, f)) in ids.iter().zip(&mut sums) {
            let (own, known) = (found.mask(*id, &scored), truth.mask(*id, &scored));
            *j += jaccard(&own, &known)?;
            *f += f_measure(&own, &known);
        }
    }
    let count = counted.len() as f64;
    let object =
        |(object, (j, f))| DavisObject { video: video.to_owned(), object, j: j / count, f: f / count };
    Ok(ids.into_iter().zip(sums).map(object).collect())
}

impl DavisScores {
    /// For people and for programs: means over objects, and shares of objects above a half.
    pub fn sheet(&self) -> Sheet {
        let of =
            |pick: fn(&DavisObject) -> f64| self.objects.iter().map(|it| Some(100.0 * pick(it))).collect();
        let lines = [
            ("J&F-Mean", of(|it| 0.5 * (it.j + it.f))),
            ("J-Mean", of(|it| it.j)),
            ("J-above-half", of(|it| if it.j > 0.5 { 1.0 } else { 0.0 })),
            ("F-Mean", of(|it| it.f)),
            ("F-above-half", of(|it| if it.f > 0.5 { 1.0 } else { 0.0 })),
        ];
        let metrics = json!({
            "objects": self.objects.iter().map(|it| json!({"video": it.video, "object": it.object, "J": it.j, "F": it.f}))
                .collect::<Vec<_>>(),
        });
        Sheet {
            benchmark: "DAVIS",
            coverage: self.coverage.clone(),
            lines: lines.map(|(name, values)| Line::of(name, "%", 2, Statistic::mean(values))).into(),
            notes: Vec::new(),
            metrics,
        }
    }
}
