//! Encoding with FFmpeg.

use std::path::{Path, PathBuf};

use image::RgbImage;
use video_rs::ffmpeg::{
    self, Codec, Dictionary, Packet, Rational, codec, encoder,
    format::{self, Pixel},
    frame::Video as Picture,
    software::scaling,
    threading,
};

use super::{Encoding, unfinished};
use crate::error::{Error, Result};

/// Tried in this order.
const ENCODERS: [&str; 4] = ["libx264", "libopenh264", "mpeg4", "mjpeg"];

/// Encodes frames into a video file, which appears under its name in [`VideoWriter::finish`].
///
/// Sides of odd length are lengthened by one pixel: 4:2:0 video has none.
pub struct VideoWriter {
    target: PathBuf,
    part: PathBuf,
    size: (u32, u32),
    fps: f64,
    /// Ticks of the encoder's clock from one frame to the next.
    frame_ticks: i64,
    encoder: encoder::video::Encoder,
    scaler: scaling::Context,
    output: Option<format::context::Output>,
    n_frames: usize,
    last_ticks: Option<i64>,
}

impl VideoWriter {
    /// Begins a video of the given size. The name's ending chooses the container; an existing file is replaced at the end.
    pub fn create(path: impl AsRef<Path>, width: u32, height: u32, encoding: &Encoding) -> Result<Self> {
        let target = path.as_ref().to_path_buf();
        let part = unfinished(&target);
        let refused = |what: String| Error::Encode { path: target.clone(), what };
        video_rs::init().map_err(|error| refused(error.to_string()))?;
        if width == 0 || height == 0 || !(encoding.fps > 0.0 && encoding.fps <= 1000.0) {
            return Err(refused(format!("{width}x{height} at {} frames a second", encoding.fps)));
        }
        let name = part.to_str().filter(|name| !name.contains('\0'));
        let name = name.ok_or_else(|| refused("FFmpeg takes names in UTF-8 only".into()))?;
        let mut output =
            format::output(&format!("file:{name}")).map_err(|error| refused(error.to_string()))?;
        let wants_header = output.format().flags().contains(format::Flags::GLOBAL_HEADER);

        let even = (width.next_multiple_of(2), height.next_multiple_of(2));
        let clock = Clock::of(encoding.fps);
        let encoder = open_encoder(encoding, even, clock, wants_header)
            .map_err(|what| Error::Encode { path: target.clone(), what })?;
        let failed = failed(&target);
        let pixel = encoder.format();
        let flags = scaling::Flags::BICUBIC;
        let scaler = scaling::Context::get(Pixel::RGB24, even.0, even.1, pixel, even.0, even.1, flags)
            .map_err(&failed)?;
        {
            let mut stream = output.add_stream_with(encoder.as_ref()).map_err(&failed)?;
            stream.set_time_base(clock.tick());
            stream.set_avg_frame_rate(clock.rate);
        }
        let is_mp4 = target.extension().is_some_and(|extension| extension == "mp4" || extension == "mov");
        let mut options = Dictionary::new();
        if encoding.fast_start && is_mp4 {
            options.set("movflags", "+faststart");
        }
        drop(output.write_header_with(options).map_err(&failed)?);
        Ok(Self {
            part,
            size: (width, height),
            fps: encoding.fps,
            frame_ticks: clock.frame_ticks,
            encoder,
            scaler,
            output: Some(output),
            n_frames: 0,
            last_ticks: None,
            target,
        })
    }

    /// Appends a frame at the constant rate.
    pub fn push(&mut self, frame: &RgbImage) -> Result<()> {
        let ticks = self.last_ticks.map_or(0, |last| last + self.frame_ticks);
        self.push_ticks(frame, ticks)
    }

    /// Appends a frame that is shown from `time_s` on, later than the one before.
    pub fn push_at(&mut self, frame: &RgbImage, time_s: f64) -> Result<()> {
        let ticks = (time_s * self.fps * self.frame_ticks as f64).round() as i64;
        if self.last_ticks.is_some_and(|last| ticks <= last) || time_s.is_nan() || time_s < 0.0 {
            return Err(self.refused(format!("frame {} at {time_s} s is not in order", self.n_frames)));
        }
        self.push_ticks(frame, ticks)
    }

    fn push_ticks(&mut self, frame: &RgbImage, ticks: i64) -> Result<()> {
        if frame.dimensions() != self.size {
            let ((w, h), (width, height)) = (frame.dimensions(), self.size);
            return Err(
                self.refused(format!("frame {} is {w}x{h}, the video {width}x{height}", self.n_frames))
            );
        }
        let (width, height) = (self.size.0.next_multiple_of(2), self.size.1.next_multiple_of(2));
        let mut rgb = Picture::new(Pixel::RGB24, width, height);
        let stride = rgb.stride(0);
        for (y, line) in rgb.data_mut(0).chunks_mut(stride).take(height as usize).enumerate() {
            let y = (y as u32).min(self.size.1 - 1);
            let row = 3 * self.size.0 as usize;
            let source = &frame.as_raw()[y as usize * row..][..row];
            line[..row].copy_from_slice(source);
            if width > self.size.0 {
                line[row..row + 3].copy_from_slice(&source[row - 3..]);
            }
        }
        let mut picture = Picture::empty();
        self.scaler.run(&rgb, &mut picture).map_err(failed(&self.target))?;
        picture.set_pts(Some(ticks));
        self.encoder.send_frame(&picture).map_err(failed(&self.target))?;
        self.last_ticks = Some(ticks);
        self.n_frames += 1;
        self.write_packets()
    }

    fn write_packets(&mut self) -> Result<()> {
        let failed = failed(&self.target);
        let Some(output) = self.output.as_mut() else { return Ok(()) };
        let stream_tick = output.stream(0).map_or(Rational::new(1, 1), |stream| stream.time_base());
        let mut packet = Packet::empty();
        while self.encoder.receive_packet(&mut packet).is_ok() {
            packet.set_stream(0);
            packet.set_duration(self.frame_ticks);
            packet.rescale_ts(self.encoder.time_base(), stream_tick);
            packet.write_interleaved(output).map_err(&failed)?;
        }
        Ok(())
    }

    /// Completes the file and gives it its name.
    pub fn finish(mut self) -> Result<()> {
        if self.n_frames == 0 {
            return Err(self.refused("there is no frame".into()));
        }
        self.encoder.send_eof().map_err(failed(&self.target))?;
        self.write_packets()?;
        if let Some(mut output) = self.output.take() {
            output.write_trailer().map_err(failed(&self.target))?;
        }
        std::fs::rename(&self.part, &self.target).map_err(Error::io(&self.target))
    }

    fn refused(&self, what: String) -> Error {
        Error::Encode { path: self.target.clone(), what }
    }
}

impl Drop for VideoWriter {
    /// What was not finished leaves nothing behind.
    fn drop(&mut self) {
        self.output = None;
        let _ = std::fs::remove_file(&self.part);
    }
}

fn failed(target: &Path) -> impl Fn(ffmpeg::Error) -> Error + use<> {
    let target = target.to_path_buf();
    move |error| Error::Encode { path: target.clone(), what: error.to_string() }
}

/// The encoder's clock: frames lie a whole number of ticks apart, with ticks between them for uneven frames.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Clock {
    rate: Rational,
    ticks_per_second: i32,
    frame_ticks: i64,
}

impl Clock {
    /// Rates such as 29.97 are taken for 30000/1001. MPEG-4 part 2 allows no more than 65535 ticks a second.
    fn of(fps: f64) -> Self {
        let ntsc = (fps * 1.001).round();
        let (numerator, denominator) = if (fps - fps.round()).abs() < 1e-6 {
            (fps.round() as i32, 1)
        } else if (fps - ntsc / 1.001).abs() < 5e-4 && ntsc * 1000.0 <= 65535.0 {
            (ntsc as i32 * 1000, 1001)
        } else {
            ((fps * 60.0).round().max(1.0) as i32, 60)
        };
        let finer = (65535 / numerator).clamp(1, 100);
        Self {
            rate: Rational::new(numerator, denominator),
            ticks_per_second: numerator * finer,
            frame_ticks: i64::from(denominator * finer),
        }
    }

    fn tick(self) -> Rational {
        Rational::new(1, self.ticks_per_second)
    }
}

fn open_encoder(
    encoding: &Encoding,
    size: (u32, u32),
    clock: Clock,
    wants_header: bool,
) -> std::result::Result<encoder::video::Encoder, String> {
    let named: Vec<&str> = encoding.encoder.iter().map(String::as_str).collect();
    let names = if named.is_empty() { &ENCODERS[..] } else { &named };
    let mut tried = Vec::new();
    for name in names {
        let Some(codec) = encoder::find_by_name(name) else {
            tried.push(format!("{name}: not there"));
            continue;
        };
        match open_as(codec, encoding, size, clock, wants_header) {
            Ok(encoder) => return Ok(encoder),
            Err(error) => tried.push(format!("{name}: {error}")),
        }
    }
    Err(format!("no encoder opens ({})", tried.join(", ")))
}

fn open_as(
    codec: Codec,
    encoding: &Encoding,
    (width, height): (u32, u32),
    clock: Clock,
    wants_header: bool,
) -> std::result::Result<encoder::video::Encoder, ffmpeg::Error> {
    let mut context = codec::Context::new_with_codec(codec);
    let small = width * height <= 320 * 240;
    let count = if small { 1 } else { 0 };
    context.set_threading(threading::Config { kind: threading::Type::Frame, count, ..Default::default() });
    let mut flags = codec::Flags::empty();
    if wants_header {
        flags |= codec::Flags::GLOBAL_HEADER;
    }
    let is_x264 = codec.name() == "libx264";
    let mut video = context.encoder().video()?;
    video.set_width(width);
    video.set_height(height);
    video.set_format(if codec.name() == "mjpeg" { Pixel::YUVJ420P } else { Pixel::YUV420P });
    video.set_time_base(clock.tick());
    video.set_frame_rate(Some(clock.rate));
    if let Some(key_interval) = encoding.key_interval {
        video.set_gop(key_interval);
    }
    if let Some(b_frames) = encoding.b_frames {
        video.set_max_b_frames(b_frames as usize);
    }
    let mut options = Dictionary::new();
    if is_x264 {
        options.set("preset", &encoding.preset);
        options.set("crf", &encoding.crf.to_string());
    } else if codec.name() == "libopenh264" {
        let pixels_per_second = f64::from(width * height) * f64::from(clock.rate);
        video.set_bit_rate((pixels_per_second * 0.2) as usize);
    } else {
        // A fixed quantiser; FFmpeg counts it in steps of 118.
        flags |= codec::Flags::QSCALE;
        video.set_quality(118 * usize::from((encoding.crf / 6).clamp(1, 31)));
    }
    video.set_flags(flags);
    for (name, value) in &encoding.options {
        options.set(name, value);
    }
    video.open_as_with(codec, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_a_whole_number_of_ticks_apart() {
        for (fps, rate) in
            [(24.0, (24, 1)), (29.97, (30000, 1001)), (23.976, (24000, 1001)), (12.5, (750, 60))]
        {
            let clock = Clock::of(fps);
            assert_eq!(clock.rate, Rational::new(rate.0, rate.1));
            let length_s = clock.frame_ticks as f64 / f64::from(clock.ticks_per_second);
            assert!((length_s * f64::from(clock.rate) - 1.0).abs() < 1e-12);
            assert!(clock.ticks_per_second <= 65535);
        }
    }
}
