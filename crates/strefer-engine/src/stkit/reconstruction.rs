//! What was found out about the depth of one video, in a folder:
//!
//! | | |
//! |---|---|
//! | `pred_traj.txt`, `pred_intrinsics.txt` | cameras, one line a frame ([`monst3r`]) |
//! | `frame_0000.npy`, … `conf_0.npy`, … | depth up to scale and confidence, 32-bit floats |
//! | `dynamic_mask_0.png`, … | what moves; may be absent |
//! | `metric_0000.npy`, … | depth in metres, 32-bit floats, of the size of the video's frames or of `frame_0000.npy`; not needed where a model in this process gives it |
//! | `times.txt` | seconds of the frames in the video, one a line; every half second where it is absent |

use std::path::{Path, PathBuf};

use strefer_core::Mask;
use strefer_video::VideoSource;
use strefer_video::transform::resize_bicubic;
use strefer_vision::depth_anything::DepthAnything;

use crate::error::{Error, Result};
use crate::stkit::camera::{Pinhole, Pose};
use crate::stkit::depth::Raster;
use crate::stkit::lift::DepthFrame;
use crate::stkit::monst3r;
use crate::stkit::processed::Processed;

/// Depth in metres of a video's frames.
pub trait MetricDepth {
    /// The depth of the frame at a position, seen as MonST3R sees it.
    ///
    /// # Errors
    /// A map that cannot be had.
    fn depth(&self, position: usize, way: &Processed) -> Result<Raster>;
}

/// A folder of one video. Maps are read when they are wanted.
#[derive(Debug, Clone)]
pub struct Reconstruction {
    dir: PathBuf,
    cameras: Vec<Pinhole>,
    poses: Vec<Pose>,
    times_s: Vec<f64>,
}

impl Reconstruction {
    /// Reads cameras and times; without `times.txt` frames are `step_s` seconds apart.
    ///
    /// # Errors
    /// Files that are missing, lines that are no numbers, different numbers of them.
    pub fn open(dir: &Path, step_s: f64) -> Result<Self> {
        let poses = monst3r::poses(&dir.join("pred_traj.txt"))?;
        let intrinsics = dir.join("pred_intrinsics.txt");
        let cameras = monst3r::intrinsics(&intrinsics)?;
        let differ = |path: PathBuf, found: usize, what: &str| {
            let reason = format!("holds {found} {what}, pred_traj.txt {} cameras", poses.len());
            Err(Error::BadFile { path, reason })
        };
        if cameras.len() != poses.len() {
            return differ(intrinsics, cameras.len(), "cameras");
        }
        let times = dir.join("times.txt");
        let times_s = match times.exists() {
            true => monst3r::times(&times)?,
            false => (0..poses.len()).map(|at| at as f64 * step_s).collect(),
        };
        if times_s.len() != poses.len() {
            return differ(times, times_s.len(), "times");
        }
        Ok(Self { dir: dir.to_owned(), cameras, poses, times_s })
    }

    /// Seconds of its frames in the video.
    pub fn times_s(&self) -> &[f64] {
        &self.times_s
    }

    /// The frame at a position.
    ///
    /// # Errors
    /// Maps that are missing, or have another size than the video's frames have on this way.
    pub fn frame(&self, position: usize, way: &Processed) -> Result<DepthFrame> {
        let path = self.dir.join(format!("frame_{position:04}.npy"));
        let depth = monst3r::raster(&path)?;
        if depth.size() != way.size() {
            let ((height, width), (expected_height, expected_width)) = (depth.size(), way.size());
            let reason = format!(
                "is {width}x{height}, frames of this video become {expected_width}x{expected_height}"
            );
            return Err(Error::BadFile { path, reason });
        }
        Ok(DepthFrame {
            depth,
            confidence: monst3r::raster(&self.dir.join(format!("conf_{position}.npy")))?,
            camera: self.cameras[position],
            pose: self.poses[position],
        })
    }

    /// What moves in the frame at a position, if that was written down.
    ///
    /// # Errors
    /// A picture that cannot be read, or has another size.
    pub fn moving(&self, position: usize, way: &Processed) -> Result<Mask> {
        let path = self.dir.join(format!("dynamic_mask_{position}.png"));
        let (height, width) = way.size();
        if !path.exists() {
            return Ok(Mask::zeros(height, width));
        }
        let bad = |reason: String| Error::BadFile { path: path.clone(), reason };
        let picture = image::open(&path).map_err(|error| bad(error.to_string()))?.into_luma8();
        if (picture.height() as usize, picture.width() as usize) != (height, width) {
            return Err(bad(format!(
                "is {}x{}, depth is {width}x{height}",
                picture.width(),
                picture.height()
            )));
        }
        Ok(Mask::from_fn(height, width, |y, x| picture.get_pixel(x as u32, y as u32).0[0] > 127))
    }
}

impl MetricDepth for Reconstruction {
    fn depth(&self, position: usize, way: &Processed) -> Result<Raster> {
        let path = self.dir.join(format!("metric_{position:04}.npy"));
        let depth = way.depth(monst3r::raster(&path)?);
        depth.map_err(|fault| Error::BadFile { path, reason: fault.to_string() })
    }
}

/// Depth in metres by a model that looks at the video's frames, in this process.
pub struct SeenDepth<'a> {
    /// The model.
    pub model: &'a DepthAnything,
    /// The video.
    pub video: &'a VideoSource,
    /// Which of its frames are those of the reconstruction.
    pub indices: &'a [usize],
}

impl MetricDepth for SeenDepth<'_> {
    fn depth(&self, position: usize, way: &Processed) -> Result<Raster> {
        let bad =
            |reason: String| Error::BadVideo { video_id: self.video.path().display().to_string(), reason };
        let mut frames = self.video.frames_at_indices(&self.indices[position..=position])?;
        let frame = frames.pop().ok_or_else(|| bad("a frame is missing".to_owned()))?;
        let (height, width) =
            self.model.input_size(frame.image.height() as usize, frame.image.width() as usize);
        let image = resize_bicubic(&frame.image, width as u32, height as u32);
        let depth =
            self.model.depth(image.as_raw(), height, width).map_err(|error| bad(error.to_string()))?;
        let depth = Raster::new(height, width, depth.into_iter().map(f64::from).collect());
        depth.and_then(|depth| way.whole(&depth)).map_err(|fault| bad(fault.to_string()))
    }
}
